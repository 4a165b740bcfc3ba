"""Lets the tests import what they share (``nets``, ``twins``, ``reference``) by its own name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
