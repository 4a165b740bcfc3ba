"""Models as files of ONNX, against ``predict``; models and layers that several tests export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from nets import set_seeded_weights
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import layers
from fastnn.layers.base import Layer


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check(
    model: fnn.Model,
    path: Path,
    inputs: list[NDArray[Any]] | None = None,
    tolerance: float = 1e-5,
    **options: Any,
) -> None:
    """The exported model is valid and makes what ``predict`` makes, for all rows and for 1."""
    model.export(path / "net.onnx", **options)
    onnx.checker.check_model(onnx.load(path / "net.onnx"), full_check=True)
    runtime = session(path / "net.onnx")
    assert [each.name for each in runtime.get_inputs()] == model.input_names
    assert [each.name for each in runtime.get_outputs()] == model.output_names
    random = np.random.default_rng(1)
    if inputs is None:
        inputs = [
            random.normal(size=(5, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs
        ]
    for rows in (len(inputs[0]), 1):
        data = [x[:rows] for x in inputs]
        wanted = model.predict(data if len(data) > 1 else data[0], verbose=0)
        found = runtime.run(None, dict(zip(model.input_names, data, strict=True)))
        for one, other in zip(found, wanted if isinstance(wanted, list) else [wanted], strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


TEXTS = np.array([
    ["red", "blue", "blue"], ["-", "red", "violet"], ["größer", "-", "-"], ["[UNK]", "", "Red"],
    ["blue", "größer", "red"],
])  # fmt: skip
NUMBERS = np.array([
    [12, -7, -7], [0, 12, 1], [2**62 + 1, 0, 0], [2**62, -1, -(2**63)], [-7, 2**62 + 1, 12],
])  # fmt: skip
LOOKUPS: dict[type[Layer], tuple[NDArray[Any], list[Any], Any]] = {
    layers.StringLookup: (TEXTS, ["red", "größer", "blue"], "-"),
    layers.IntegerLookup: (NUMBERS, [12, 2**62 + 1, -7], 0),
}


def mixed_model() -> fnn.Model:
    words, ids = layers.Input((3,), name="words"), layers.Input((2,), name="ids")
    size, both = layers.Input((4,), name="size"), layers.Input((1,), name="both")
    index = layers.StringLookup(vocabulary=["red", "blue"], mask_token="-")(words)
    kinds = layers.IntegerLookup(vocabulary=[12, -7, 2**62 + 1], num_oov_indices=2)(ids)
    bins = layers.Discretization([-0.5, 0.5], output_mode="multi_hot")(size)
    read = [
        layers.Flatten()(layers.Embedding(4, 3)(layers.Reshape((3, 1))(index))),
        layers.CategoryEncoding(5, "count")(kinds), bins, layers.Dense(3, "tanh")(size),
        layers.Flatten()(layers.Embedding(9, 2)(both)), layers.Dense(2)(both),
        layers.Dense(2, "tanh")(index),
    ]  # fmt: skip
    shaped = layers.Reshape((1, 1))(both)
    out = layers.Dense(4, "softmax", name="kind")(layers.Concatenate()(read))
    return set_seeded_weights(fnn.Model([words, ids, size, both], [out, index, kinds, shaped]))


def convnet() -> fnn.Sequential:
    return fnn.Sequential([
        layers.Input((12, 12, 3), name="pictures"), layers.Rescaling(1 / 255),
        layers.Conv2D(6, 3, padding="same", activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(), layers.DepthwiseConv2D(3, padding="same"),
        layers.SpatialDropout2D(0.2), layers.Residual([layers.Conv2D(8, 3, padding="same")]),
        layers.ZeroPadding2D(1), layers.AveragePooling2D(2), layers.Flatten(), layers.Dropout(0.5),
        layers.Dense(16, "gelu"), layers.Dense(3, "softmax", name="class"),
    ])  # fmt: skip
