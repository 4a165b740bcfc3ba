"""Record what Keras 3 makes of single layers, in ``picture_layers.npz`` beside this file.

    pip install keras jax
    python tests/reference/make_picture_layers.py  # about three minutes

For each case of ``picture_cases.py``, in float64: the output, and for a gradient of it the
gradients of inputs and trained weights. Written as float32: the vector ``values``, and ``index``,
a JSON text {"origin": {...}, "cases": {name: {"digest": int, "y": [offset, shape], "dx": [[offset,
shape], ...], "dw": [[offset, shape], ...]}}}, an array starting at its offset in ``values``.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
}

import jax
import keras
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from reference.picture_cases import LayerCase, cases  # noqa: E402
from reference.precision import keep_float64  # noqa: E402


def record(case: LayerCase) -> tuple[int, dict[str, Any]]:
    """The digest of the case's numbers, and its results."""
    run = case.run()
    xs = case.arrays(run)
    layer = getattr(keras.layers, case.layer)(**case.settings)
    several = len(xs) > 1
    shapes = [x.shape for x in xs]
    layer.build(shapes if several else shapes[0])
    assert not layer.non_trainable_variables
    values = case.weights(run, layer.trainable_variables)

    def output(xs: list, weights: list) -> Any:
        return layer.stateless_call(weights, [], xs if several else xs[0])[0]

    exact = [x.astype(np.float64) for x in xs], [v.astype(np.float64) for v in values]
    y, backward = jax.vjp(output, *exact)
    assert y.dtype == np.float64
    dxs, dws = backward(run.reals(*y.shape).astype(np.float64))
    return run.digest, {"y": y, "dx": dxs, "dw": dws}


def main() -> None:
    """Record every case and write the file."""
    keras.config.set_floatx("float64")
    keep_float64()
    index: dict[str, Any] = {}
    vector: list[np.ndarray] = []
    offset = 0

    def kept(array: Any) -> list[Any]:
        nonlocal offset
        values = np.asarray(array, np.float32)
        assert np.isfinite(values).all()
        vector.append(values.ravel())
        offset += values.size
        return [offset - values.size, list(values.shape)]

    for case in cases():
        digest, results = record(case)
        index[case.name] = {"digest": digest, "y": kept(results["y"])}
        index[case.name] |= {key: [kept(each) for each in results[key]] for key in ("dx", "dw")}
        print(case.name, flush=True)
    origin = {
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "made_by": "tests/reference/make_picture_layers.py",
    }
    text = json.dumps({"origin": origin, "cases": index}, separators=(",", ":"))
    path = HERE / "picture_layers.npz"
    np.savez_compressed(path, index=text, values=np.concatenate(vector))
    print(f"{path}: {len(index)} cases, {offset} values, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
