"""Record what the layers of Keras 3 that prepare data learn and make, in ``preprocessing.json``.

    pip install keras tensorflow
    python tests/reference/make_preprocessing.py

The file: {"origin": {...}, "cases": {name: what ``preprocessing_cases.run`` returns}}.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}

import keras
import tensorflow

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from reference.preprocessing_cases import CASES, run  # noqa: E402

if __name__ == "__main__":
    origin = {
        "keras": keras.version(),
        "tensorflow": tensorflow.__version__,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "made_by": "tests/reference/make_preprocessing.py",
    }
    cases = {name: run(keras.layers, case) for name, case in CASES.items()}
    text = json.dumps({"origin": origin, "cases": cases}, ensure_ascii=False, indent=0)
    (HERE / "preprocessing.json").write_text(text + "\n", encoding="utf-8")
