from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.sources import Rows, SparseRows
from fastnn.engine.turns import Turns

KERNELS: dict[str, int]

class Executable:
    program: Any
    capacity: int
    unproven: bool
    nonfinite: bool
    skipped_rows: int
    members: int
    def __init__(self, program: Any, turns: Turns | None = None) -> None: ...
    def run(
        self,
        sources: list[Rows | SparseRows],
        order: NDArray[np.int64],
        first: int,
        last: int,
        batch_size: int,
        scalars: NDArray[np.float32] | None,
        sums: NDArray[np.float64],
        outputs: list[NDArray[np.float32]],
        n_threads: int,
        seconds: float,
        counter: Any = None,
        skip: bool = False,
        every: int = 0,
        records: NDArray[np.float64] | None = None,
        times: NDArray[np.float64] | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> int: ...
