"""``python -m bench``: the door to ``fastnn.bench``."""

from __future__ import annotations

import sys

from fastnn.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
