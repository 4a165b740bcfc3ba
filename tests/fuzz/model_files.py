"""Files of models: the tensors' header, configurations of layers and training, backups, replays."""

from __future__ import annotations

import json
import math
import struct
import tempfile
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from picture_examples import MERGING, PICTURES, SIGNALS

import fastnn as fnn
from fastnn import (
    callbacks,
    constraints,
    health,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    utils,
)
from fastnn.cli import model_file
from fastnn.models.sequential import CLASSES
from fastnn.optimizers import schedules
from fastnn.tables.columns import Category, Number
from fastnn.tables.form import Form
from fastnn.tables.label import Label
from fuzz import damage

ALLOWED = (ValueError,)

_BACKUP = "latest.safetensors"
"""Of BackupAndRestore."""

_ROWS = 3
_LARGEST = 200_000
"""Numbers that a layer may make of a row for the model to be tried: the file may ask for more."""

_DTYPES = ("BOOL", "U8", "I8", "F8_E4M3", "F16", "BF16", "U32", "F32", "I64", "F64", "Z9", "", 5)


def seeds() -> list[tuple[str, bytes]]:
    """Every layer, optimizer and kind of file there is."""
    utils.clear_session()
    utils.set_random_seed(0)
    made: list[tuple[str, bytes]] = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file.safetensors"

        def keep(kind: str) -> None:
            made.append((kind, path.read_bytes()))

        for model in (*_dense(), *_pictures(), *_several()):
            _train(model)
            model.save(path)
            keep("model")
        for optimizer in _optimizers():
            model = _small(optimizer)
            _train(model)
            model.save(path)
            keep("model")
        model = _small("adam")
        _train(model)
        model.save_weights(path)
        keep("weights")
        _resumed(Path(name))
        made.append(("backup", (Path(name) / _BACKUP).read_bytes()))
        health.save_replay(path, model, x=np.zeros((2, 4), np.float32), y=np.array([0, 1]))
        keep("replay")
        model_file.save(model, path, ["a", "b", "c"])
        keep("command")
        columns = [Number("a", 0.5, True), Category("b", ["x"], True, False)]
        form = Form(columns, Label("y", ["u", "v", "w"]), ["a", "b", "y"], True, ["-"], False)
        model_file.save(model, path, None, form)
        keep("command")
    return made


def damaged(random: Random, name: str, content: bytes) -> tuple[str, bytes]:
    """Another file in the place of one."""
    if random.random() < 0.1:
        name = random.choice(("model", "weights", "backup", "replay", "command"))
    if random.random() < 0.1:
        return name, damage.in_bytes(random, content)
    header, data = _taken_apart(content)
    kind = random.randrange(10)
    if kind == 0:
        header = damage.in_json(random, header, _WORDS)
    elif kind == 1:
        tensor = header[random.choice([key for key in header if key != "__metadata__"] or ["x"])]
        key = random.choice(("dtype", "shape", "data_offsets"))
        if key == "dtype":
            tensor[key] = random.choice(_DTYPES)
        elif random.random() < 0.3:
            tensor[key] = damage.hostile_value(random)
        else:
            place = random.randrange(len(tensor[key]) or 1)
            tensor[key][place : place + 1] = [random.choice(damage.HOSTILE_INTEGERS)]
    else:
        texts = header["__metadata__"]
        part = random.choice(("model", "model", "compile", *texts))
        if part not in texts or random.random() < 0.05:
            texts[part] = random.choice(("", "{", "[" * 30_000, "null", '"x"', "1" * 5000, "NaN"))
        else:
            value = json.loads(texts[part]) if texts[part][:1] in '[{"' else texts[part]
            texts[part] = damage.as_json(damage.in_json(random, value, _WORDS))
    text = damage.as_json(header).encode()
    if random.random() < 0.05:
        data = damage.in_bytes(random, data)
    length = len(text) if random.random() < 0.97 else random.choice(damage.HOSTILE_INTEGERS) % 2**64
    return name, struct.pack("<Q", length) + text + data


def load(name: str, content: bytes, directory: Path) -> None:
    """Read the file in the way that ``name`` says, and try what comes out."""
    path = directory / (_BACKUP if name == "backup" else name)
    path.write_bytes(content)
    if name == "weights":
        _small("adam").load_weights(path)
    elif name == "backup":
        _resumed(directory)
    elif name == "replay":
        health.load_replay(path)
    elif name == "command":
        _try(model_file.load(path).model)
    else:
        _try(fnn.load_model(path))


def _try(model: fnn.Model) -> None:
    """Predict and train: a file may describe any net, but none may crash or hang."""
    shapes = [tensor.shape[1:] for tensor in model.inputs]
    made = [tensor.shape[1:] for tensor in (*model.inputs, *(node.output for node in model.nodes))]
    if sum(map(math.prod, made)) > _LARGEST:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.predict(_ones(shapes), verbose=0)
            if model.compiled:
                _train(model)
    except ValueError:
        pass  # of a net, not of its file, whose name is not known here


def _dense() -> list[fnn.Model]:
    stack: list[Any] = [
        layers.Input((6,), name="x"), layers.Rescaling(0.5, 0.1),
        layers.Dense(
            5, "leaky_relu", kernel_initializer=initializers.LSUV(), kernel_regularizer="l1_l2",
            kernel_constraint=constraints.MaxNorm(2), dropconnect=0.25,
        ),
        layers.BatchNormalization(), layers.Dropout(0.25, seed=3), layers.GaussianNoise(0.5),
        layers.Residual([layers.LayerNormalization(), layers.Dense(5), layers.ELU()]),
        layers.Reshape((5, 1)), layers.Permute((2, 1)), layers.Flatten(), layers.LeakyReLU(0.2),
        layers.Dense(3), layers.Activation("tanh"), layers.ReLU(6.0), layers.Softmax(),
    ]  # fmt: skip
    model = fnn.Sequential(stack)
    chosen = [metrics.SparseTopKCategoricalAccuracy(2), "accuracy"]
    model.compile("adam", losses.SparseCategoricalCrossentropy(), metrics=chosen)
    inner = fnn.Sequential([layers.Input((4,)), layers.Dense(3, "gelu"), layers.Dense(4)])
    last = layers.Dense(2, "sigmoid", bias_regularizer=regularizers.L2(0.1))
    outer = fnn.Sequential([layers.Input((4,)), inner, last])
    outer.compile("sgd", losses.Huber(0.5), metrics=["mae", "mse"])
    return [model, outer]


def _pictures() -> list[fnn.Model]:
    """A net for each layer, after which comes a product."""
    made = []
    for examples, shape in ((PICTURES, (7, 8, 4)), (SIGNALS, (9, 4))):
        for example in examples:
            layer = type(example).from_config(example.get_config())
            model = fnn.Sequential([layers.Input(shape), layer, layers.Flatten(), layers.Dense(2)])
            model.compile("rmsprop", "mae")
            made.append(model)
    return made


def _several() -> list[fnn.Model]:
    a, b = layers.Input((6,), name="a"), layers.Input((2,), name="b")
    shared = layers.Dense(2, activation="tanh", name="shared")
    made = [type(m).from_config(m.get_config())([shared(a), b]) for m in MERGING]
    both = layers.Concatenate()([layers.Add()([shared(a), *made]), b])
    kind = layers.Dense(3, activation="softmax", name="kind")(both)
    model = fnn.Model([a, b], [kind, layers.Dense(1, name="size")(both)], name="two")
    chosen = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    model.compile("sgd", chosen, {"size": 0.25}, {"kind": ["accuracy"]})
    return [model]


def _optimizers() -> list[optimizers.Optimizer]:
    return [
        optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
        optimizers.Adam(schedules.ExponentialDecay(0.1, 3, 0.5), amsgrad=True, clipvalue=1.0),
        optimizers.AdamW(schedules.CosineDecay(0.1, 3), weight_decay=0.1, global_clipnorm=1.0),
        optimizers.RMSprop(schedules.PiecewiseConstantDecay([2], [0.1, 0.3]), centered=True),
        optimizers.Adagrad(0.1, use_ema=True, adaptive_clip=0.01),
        optimizers.Nadam(schedules.PolynomialDecay(0.1, 3)),
        optimizers.Lion(0.001, nonfinite="skip"),
        optimizers.Muon(schedules.OneCycle(0.1, 10)),
    ]


def _small(optimizer: Any) -> fnn.Model:
    hidden, last = layers.Dense(3, "relu", name="h"), layers.Dense(3, "softmax", name="o")
    model = fnn.Sequential([layers.Input((4,)), hidden, last])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _resumed(directory: Path) -> None:
    """A training with callbacks that keep a state goes on from the backup in a directory, if there
    is one, and leaves the last."""
    hooks = [
        callbacks.BackupAndRestore(directory, delete_checkpoint=False),
        callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("loss"),
        callbacks.GradientHealth(every=1, on_problem="ignore"),
    ]
    x, y = np.ones((_ROWS, 4), np.float32), np.zeros(_ROWS)
    _small("adam").fit(x, y, epochs=2, verbose=0, callbacks=hooks)


def _train(model: fnn.Model) -> None:
    """One step, towards 0."""
    shapes = [tensor.shape for tensor in model.outputs]
    targets = [
        np.zeros((_ROWS, *(1 if "sparse" in repr(objective.loss) else n for n in shape[1:])))
        for shape, objective in zip(shapes, model._objectives(), strict=True)
    ]
    x = _ones([tensor.shape[1:] for tensor in model.inputs])
    model.train_on_batch(x, targets if len(targets) > 1 else targets[0])


def _ones(shapes: list[Any]) -> Any:
    found = [np.ones((_ROWS, *shape), np.float32) for shape in shapes]
    return found if len(found) > 1 else found[0]


def _taken_apart(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _words() -> list[Any]:
    """Names and configurations that fit somewhere."""
    names = [
        *CLASSES, *initializers.CLASSES, *regularizers.CLASSES, *constraints.CLASSES,
        *losses.CLASSES, *metrics.CLASSES, *optimizers.CLASSES, *schedules.CLASSES,
    ]  # fmt: skip
    configs = [
        {"class_name": type(layer).__name__, "config": layer.get_config()}
        for layer in (*PICTURES, *SIGNALS, *MERGING, layers.Dense(3), layers.InputLayer((3,)))
    ]
    return [*names, *configs]


_WORDS = _words()
