KERNELS: dict[str, int]
PANEL: int
