from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

def count(
    x: NDArray[Any], first: SupportsIndex, last: SupportsIndex, counts: NDArray[np.int64]
) -> None: ...
def collect(
    x: NDArray[Any],
    scale: float,
    first: SupportsIndex,
    last: SupportsIndex,
    start: NDArray[np.int64],
    granule: NDArray[np.uint16],
    column: NDArray[np.uint16],
    value: NDArray[np.float32],
) -> None: ...
