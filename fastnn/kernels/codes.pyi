CHUNK: int
GRANULE: int
STATISTICS: int
ROW_STATISTICS: int
ACTIVATIONS: dict[str, int]
READS_INPUT: frozenset[str]
LOSSES: dict[str, int]
METRICS: dict[str, int]
OPTIMIZERS: dict[str, int]
KEEPS_SQUARES: frozenset[str]
DTYPES: dict[str, int]
CONSTRAINTS: dict[str, int]
