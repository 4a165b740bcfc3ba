"""Record what Keras 3's callbacks decide on some streams of metrics, in ``callbacks.json``.

pip install keras
python tests/reference/make_callbacks.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from callback_runs import STREAMS, arguments, cases, run

# On this backend Keras compares in float64; in float32 ties would depend on rounding.
os.environ["KERAS_BACKEND"] = "numpy"


def keras_callback(name: str, config: dict[str, Any], directory: Path) -> Any:
    """Keras's callback of this name; a checkpoint's path gets the suffix that Keras demands."""
    from keras import callbacks

    config = arguments(name, config, directory)
    if name == "ModelCheckpoint":
        config["filepath"] += ".weights.h5" if config.get("save_weights_only") else ".keras"
    return getattr(callbacks, name)(**config)


def main() -> None:
    """Write the file."""
    import keras

    recorded = []
    for name, config, stream in cases():
        with TemporaryDirectory() as directory:
            result = run(keras_callback(name, config, Path(directory)), STREAMS[stream])
        recorded.append({"class_name": name, "config": config, "stream": stream, "result": result})
    lines = ",\n".join(json.dumps(each) for each in recorded)
    path = Path(__file__).with_name("callbacks.json")
    origin = {"keras": keras.__version__}
    path.write_text(f'{{"origin": {json.dumps(origin)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
