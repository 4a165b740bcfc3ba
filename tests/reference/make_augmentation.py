"""Record what Keras 3 makes of pictures, given the numbers drawn, in ``augmentation.npz``.

pip install keras jax
PYTHONPATH=tests python tests/reference/make_augmentation.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path(__file__).parent))

import keras
import numpy as np
from augmentation_cases import CASES, HEIGHT, ROWS, WIDTH, pictures, uniform


def parameters(layer: Any, kind: str) -> dict[str, Any]:
    """The transformation that the layer would have drawn."""
    if kind == "RandomFlip":
        return {"flips": (uniform(1, 0, 1) < 0.5).reshape(-1, 1, 1, 1)}
    if kind == "RandomTranslation":
        rows = uniform(0, layer.height_lower, layer.height_upper) * HEIGHT
        columns = uniform(1, layer.width_lower, layer.width_upper) * WIDTH
        return {"translations": np.stack([columns, rows], axis=1).astype(np.float32)}
    if kind == "RandomRotation":
        low, high = layer.factor
        nothing, one = np.zeros(ROWS), np.ones(ROWS)
        return {
            "rotation_matrix": layer._compute_affine_matrix(
                0.5, 0.5, uniform(0, low, high) * 360, nothing, nothing, one, nothing, nothing,
                HEIGHT, WIDTH,
            )
        }  # fmt: skip
    if kind == "RandomZoom":
        rows = columns = 1 + uniform(0, layer.height_lower, layer.height_upper)
        if layer.width_factor is not None:
            columns = 1 + uniform(1, layer.width_lower, layer.width_upper)
        return {"height_zoom": rows[:, None], "width_zoom": columns[:, None]}
    if kind == "RandomContrast":
        lower, upper = layer.factor
        return {"contrast_factor": uniform(0, 1 - lower, 1 + upper).reshape(-1, 1, 1, 1)}
    low, high = layer.value_range
    delta = uniform(0, *layer.factor) * (high - low)
    return {"rgb_delta": delta.reshape(-1, 1, 1, 1)}


def main() -> None:
    found = {}
    for name, (kind, settings) in CASES.items():
        layer = getattr(keras.layers, kind)(**settings)
        layer.build((None, *pictures().shape[1:]))
        result = layer.transform_images(pictures(), parameters(layer, kind), training=True)
        found[name] = np.asarray(result, np.float32)
    origin = f"Keras {keras.__version__} on JAX"
    np.savez_compressed(Path(__file__).parent / "augmentation.npz", origin=origin, **found)


if __name__ == "__main__":
    main()
