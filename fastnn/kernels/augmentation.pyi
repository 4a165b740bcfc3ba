KERNELS: dict[str, int]
FLIPS: dict[str, int]
WINDOWS: dict[str, int]
WARPS: dict[str, int]
FILLS: dict[str, int]
TINTS: dict[str, int]
MOST_CHANNELS: int
