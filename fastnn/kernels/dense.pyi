KERNELS: dict[str, int]
PANEL: int
PANEL_SPARSE: int
