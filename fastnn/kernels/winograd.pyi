KERNELS: dict[str, int]
MOST_CHANNELS: int
