"""Check that ``import fastnn`` takes at most 1.5 times as long as ``import numpy``.

    python tools/check_import.py

Each import runs in a fresh interpreter, in turn with the other; the shortest of its times counts,
for whatever else the machine does only adds to them.
"""

from __future__ import annotations

import subprocess
import sys

MAX_RATIO = 1.5
TURNS = 25
SCRIPT = """
import time
begin = time.perf_counter()
import {module}
print(time.perf_counter() - begin)
"""


def seconds(module: str) -> float:
    """What importing ``module`` takes."""
    # -I: the installed package, not sources in the current directory
    command = [sys.executable, "-I", "-c", SCRIPT.format(module=module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    shortest = {"numpy": float("inf"), "fastnn": float("inf")}
    for _ in range(TURNS):
        for module in shortest:
            shortest[module] = min(shortest[module], seconds(module))
    ratio = shortest["fastnn"] / shortest["numpy"]
    for module, time in shortest.items():
        print(f"import {module}: {1000 * time:.0f} ms")
    print(f"ratio: {ratio:.2f}")
    if ratio > MAX_RATIO:
        sys.exit(f"import fastnn takes {ratio:.2f} times as long as numpy, more than {MAX_RATIO}")
