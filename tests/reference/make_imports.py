"""Write the files of ``imports`` beside this file: weights of Keras and PyTorch, and what their
nets predict with them.

    KERAS_BACKEND=torch python make_imports.py

needs Keras, h5py, PyTorch and safetensors. ``origin.json`` says which versions wrote what is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import torch
from import_nets import (
    drawn,
    keras_convnet,
    keras_mlp,
    pictures,
    rows,
    signals,
    torch_convnet,
    torch_signals,
)
from safetensors.torch import save_file

TO = Path(__file__).parent / "imports"


def write_keras(name: str, make: Any, x: Any, seed: int, suffixes: list[str]) -> Any:
    """A model's files; what it predicts."""
    keras.utils.clear_session()
    if seed % 2:  # so that automatic names don't begin at 0
        make(keras)
    model = make(keras)
    shapes = [tuple(weight.shape) for weight in model.weights]
    model.set_weights(drawn(shapes, ["variance" in w.path for w in model.weights], seed))
    for suffix in suffixes:
        path = TO / f"{name}{suffix}"
        model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    return model.predict(x, verbose=0)


def write_torch(name: str, module: Any, x: Any, seed: int) -> Any:
    """A module's file; what it predicts."""
    state = module.state_dict()
    known = {key: value for key, value in state.items() if "num_batches" not in key}
    shapes = [tuple(value.shape) for value in known.values()]
    for key, values in zip(
        known, drawn(shapes, ["var" in key for key in known], seed), strict=True
    ):
        state[key] = torch.from_numpy(values)
    module.load_state_dict(state)
    save_file(state, TO / f"{name}.safetensors")
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    with torch.no_grad():
        return module.eval()(torch.from_numpy(turned)).numpy()


def main() -> None:
    TO.mkdir(exist_ok=True)
    first, second = write_keras(
        "keras_convnet", keras_convnet, pictures(), 1, [".weights.h5", ".keras"]
    )
    predictions = {
        "keras_mlp": write_keras("keras_mlp", keras_mlp, rows(), 2, [".weights.h5"]),
        "keras_convnet_0": first,
        "keras_convnet_1": second,
        "torch_convnet": write_torch("torch_convnet", torch_convnet(torch.nn), pictures(), 3),
        "torch_signals": write_torch("torch_signals", torch_signals(torch), signals(), 4),
    }
    np.savez(TO / "predictions.npz", **predictions)
    versions = {"python": sys.version.split()[0], "keras": keras.__version__}
    versions |= {"backend": keras.backend.backend(), "torch": torch.__version__}
    versions |= {"h5py": h5py.__version__, "script": "make_imports.py"}
    (TO / "origin.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
