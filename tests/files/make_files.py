"""Write the files of this directory's ``FORMAT-1``: what version 0.1 of fastnn saves, and what it
does with it.

    python make_files.py

They are read for ever (docs/format.md), so they are not written again: a change of the format gets
a directory and a script of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import activations, callbacks, layers, optimizers
from fastnn.cli import main as fastnn_command
from fastnn.cli import model_file
from fastnn.optimizers import schedules

TO = Path(__file__).parent / "FORMAT-1"

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True, "clipnorm": 1.0},
    "Adagrad": {"clipvalue": 0.5},
    "Adam": {"amsgrad": True, "global_clipnorm": 1.0},
    "AdamW": {"use_ema": True, "ema_momentum": 0.9},
    "Lion": {"weight_decay": 0.01},
    "Muon": {},
    "Nadam": {"adaptive_clip": 0.02},
    "RMSprop": {"momentum": 0.5, "centered": True},
}


def rows(n: int = 24) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """x (n, 6), labels of three classes."""
    x = np.random.default_rng(1).normal(size=(n, 6)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)


def pictures(n: int = 3) -> NDArray[np.uint8]:
    """(n, 9, 8, 3)"""
    return np.random.default_rng(2).integers(0, 256, (n, 9, 8, 3)).astype(np.uint8)


def fit(model: Any, epochs: int, **settings: Any) -> None:
    """Some epochs of ``rows``, always in the same order."""
    model.fit(*rows(), batch_size=8, epochs=epochs, shuffle=False, verbose=0, **settings)


def mlp(optimizer: Any = "adam") -> Any:
    """6-5-3, compiled."""
    model = fnn.Sequential([
        layers.Input((6,)), layers.Dense(5, activation="relu"), layers.BatchNormalization(),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def convnet() -> Any:
    """(9, 8, 3) to three classes."""
    return fnn.Sequential([
        layers.Input((9, 8, 3)), layers.Rescaling(1 / 255), layers.RandomFlip("horizontal", seed=1),
        layers.Conv2D(4, 3, padding="same", activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(2), layers.Flatten(), layers.Dropout(0.3, seed=2),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip


def functional() -> Any:
    """Two inputs, two outputs, a layer that is used twice, a model within."""
    a, b = layers.Input((6,), name="a"), layers.Input((2,), name="b")
    shared = layers.Dense(4, activation="tanh", name="shared")
    inner = fnn.Sequential([layers.Input((4,)), layers.Dense(4, activation="gelu")])
    both = layers.Concatenate()([shared(a), inner(shared(layers.ReLU(1.0)(a))), b])
    return fnn.Model([a, b], [layers.Dense(3, "softmax")(both), layers.Dense(1, name="size")(both)])


def every_layer() -> Any:
    """Every class of version 0.1 that a file may name, every activation."""
    x = layers.Input((9, 8, 3))
    y = layers.Rescaling(1 / 255)(x)
    for layer in (
        layers.RandomBrightness(0.1, (0, 1), seed=1), layers.RandomContrast(0.1, (0, 1), seed=2),
        layers.RandomRotation(0.1, seed=3), layers.RandomTranslation(0.1, 0.1, seed=4),
        layers.RandomZoom(0.1, seed=5), layers.RandomFlip(seed=6), layers.RandomCrop(8, 8, seed=7),
        layers.Conv2D(4, 3, 1, "same", groups=1, activation="relu"), layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.GroupNormalization(4),
        layers.SeparableConv2D(4, 3, padding="same"), layers.SpatialDropout2D(0.1, seed=8),
        layers.ZeroPadding2D(((1, 1), (0, 2))), layers.Cropping2D(1), layers.UpSampling2D(2),
        layers.MaxPooling2D(2), layers.AveragePooling2D(2), layers.LayerNormalization(),
    ):  # fmt: skip
        y = layer(y)
    pooled = [layers.GlobalAveragePooling2D()(y), layers.GlobalMaxPooling2D()(y)]
    merging = (
        layers.Add(), layers.Average(), layers.Maximum(), layers.Minimum(), layers.Multiply(),
        layers.Subtract(), layers.Concatenate(),
    )  # fmt: skip
    line = layers.Concatenate()([layers.Flatten()(y), *(layer(pooled) for layer in merging)])
    kinds = [each for each in activations.KINDS if each not in ("relu_general", "scaled_relu")]
    for number, kind in enumerate(kinds):
        line = layers.Dense(12, activation=kind, dropconnect=0.1 * (number == 0),
                            dropconnect_seed=9)(line)  # fmt: skip
    z = layers.Residual([layers.Dense(12), layers.Activation("tanh")])(line)
    z = layers.Permute((2, 1))(layers.Reshape((4, 3))(z))
    for layer in (
        layers.Conv1D(4, 2, padding="causal"), layers.DepthwiseConv1D(2, padding="same"),
        layers.SeparableConv1D(4, 1), layers.SpatialDropout1D(0.1, seed=10),
        layers.GaussianNoise(0.1, seed=11), layers.Dropout(0.1, seed=12),
        layers.ZeroPadding1D(1), layers.Cropping1D((0, 1)), layers.UpSampling1D(2),
        layers.MaxPooling1D(2), layers.ReLU(6.0, 0.1, 0.2), layers.LeakyReLU(), layers.ELU(),
        layers.Softmax(),
    ):  # fmt: skip
        z = layer(z)
    ends = [layers.GlobalAveragePooling1D()(z), layers.GlobalMaxPooling1D(keepdims=True)(z)]
    return fnn.Model(x, [*ends, layers.AveragePooling1D(2)(z)])


def columns() -> list[NDArray[Any]]:
    """Texts, integers and numbers, (8, 1), (8, 1) and (8, 2)."""
    words = np.array(["red", "blue", "green", "red", "violet", "blue", "red", "green"])
    numbers = np.arange(16, dtype=np.float32).reshape(8, 2)
    return [words[:, None], np.array([[7], [40], [7], [9], [40], [1], [9], [7]]), numbers]


def preparing() -> Any:
    """Layers that prepare tables, with what they have learned, and an embedding."""
    words, codes, numbers = columns()
    inputs = [layers.Input((1,), name="w"), layers.Input((1,), name="c"), layers.Input((2,))]
    text = layers.StringLookup(output_mode="one_hot")
    text.adapt(words[:4])
    whole = layers.IntegerLookup(num_oov_indices=2)
    whole.adapt(codes[:5])
    standard = layers.Normalization()
    standard.adapt(numbers)
    bins = layers.CategoryEncoding(4)(layers.Discretization([2.0, 7.0, 9.5])(inputs[2]))
    vectors = layers.Flatten()(layers.Embedding(6, 3)(whole(inputs[1])))
    both = layers.Concatenate()([text(inputs[0]), vectors, standard(inputs[2]), bins])
    back = layers.Normalization(None, mean=3.0, variance=4.0, invert=True)
    return fnn.Model(inputs, back(layers.Dense(2)(both)))


def settings() -> Any:
    """Initializers, regularizers, constraints, a schedule, losses and metrics with arguments."""
    from fastnn import constraints, initializers, losses, metrics, regularizers

    model = fnn.Sequential([
        layers.Input((6,)),
        layers.Dense(5, kernel_initializer=initializers.VarianceScaling(2.0, "fan_out", seed=1),
                     bias_initializer=initializers.Constant(0.1),
                     kernel_regularizer=regularizers.L1L2(1e-3, 1e-4),
                     kernel_constraint=constraints.MaxNorm(2.0)),
        layers.Dense(5, kernel_initializer=initializers.Orthogonal(seed=2),
                     activity_regularizer="l2", kernel_constraint=constraints.UnitNorm()),
        layers.Dense(3, kernel_initializer=initializers.TruncatedNormal(seed=3),
                     bias_constraint="non_neg"),
    ])  # fmt: skip
    rate = schedules.CosineDecay(1e-2, 100, warmup_target=2e-2, warmup_steps=5)
    model.compile(
        optimizers.Adam(rate),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", metrics.SparseTopKCategoricalAccuracy(k=2)],
    )
    return model


def table() -> str:
    """A CSV file with names, numbers and gaps."""
    random = np.random.default_rng(3)
    lines = ["height,colour,tall"]
    for k in range(40):
        height, colour = random.normal(170, 8), ("red", "blue")[k % 2]
        number, tall = "" if k % 9 == 0 else f"{height:.1f}", ("no", "yes")[height > 170]
        lines.append(f"{number},{colour},{tall}")
    return "\n".join(lines) + "\n"


def main() -> None:
    TO.mkdir()
    made: dict[str, Any] = {}

    def fresh() -> None:
        fnn.utils.clear_session()
        fnn.utils.set_random_seed(5)

    def keep(name: str, model: Any, *inputs: Any) -> None:
        model.save(TO / f"{name}.safetensors")
        found = model.predict(list(inputs) if len(inputs) > 1 else inputs[0], verbose=0)
        for number, each in enumerate(found if isinstance(found, list) else [found]):
            made[f"{name}/{number}"] = each

    for name, arguments in OPTIMIZERS.items():
        fresh()
        model = mlp(getattr(optimizers, name)(**arguments))
        fit(model, 2)
        keep(name, model, rows()[0])
        fit(model, 1)
        made[f"{name}/trained on"] = model.predict(rows()[0], verbose=0)
    fresh()
    model = settings()
    fit(model, 2)
    keep("settings", model, rows()[0])
    fit(model, 1)
    made["settings/trained on"] = model.predict(rows()[0], verbose=0)
    fresh()
    keep("convnet", convnet(), pictures())
    fresh()
    keep("functional", functional(), rows()[0], rows()[0][:, :2])
    fresh()
    keep("every_layer", every_layer(), pictures())
    fresh()
    keep("preparing", preparing(), *columns())
    fresh()
    model = mlp()
    model.save_weights(TO / "weights.safetensors")
    made["weights/0"] = model.predict(rows()[0], verbose=0)
    fresh()
    model = mlp()
    fit(model, 2, callbacks=[callbacks.BackupAndRestore(TO, delete_checkpoint=False)])
    (TO / "latest.safetensors").rename(TO / "backup.safetensors")
    made["backup/0"] = model.predict(rows()[0], verbose=0)
    fresh()
    model_file.save(convnet(), TO / "class_names.safetensors", ["cat", "dog", "eel"])
    (TO / "table.csv").write_text(table())
    saved = TO / "table.safetensors"
    fresh()
    command = ["train", str(TO / "table.csv"), "--epochs", "3", "--save", str(saved), "--quiet"]
    assert fastnn_command(command) == 0
    assert fastnn_command(["predict", str(saved), str(TO / "table.csv"), "--output",
                           str(TO / "table_predictions.csv")]) == 0  # fmt: skip
    fresh()
    model = mlp()
    fnn.health.save_replay(TO / "replay.safetensors", model, x=rows()[0][:4], y=rows()[1][:4])
    made["replay/0"] = model.predict(rows()[0][:4], verbose=0)
    np.savez(TO / "predictions.npz", **made)


if __name__ == "__main__":
    main()
