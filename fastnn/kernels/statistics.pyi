KERNELS: dict[str, int]
TILE_SIZE: int
SUMMARY_BYTES: int
ACTIVATION_SUMMARY_BYTES: int
OF_WEIGHTS: tuple[str, ...]
OF_ACTIVATIONS: tuple[str, ...]
