"""Whether training still gives the same bits: hashes of the weights of many small nets.

    python tools/bits.py record before.json     # before a change of the engine
    python tools/bits.py compare before.json    # after it: the same compiler, the same machine

Each net is trained on every CPU level that this machine runs and on 1, 2 and 3 threads; that these
give the same within a level is checked, too.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable

import numpy as np

import fastnn as fnn
from fastnn import constraints, datasets, layers, losses, optimizers, regularizers
from fastnn.kernels import levels

THREADS = (1, 2, 3)

Net = Callable[[], tuple[fnn.Model, tuple[object, ...]]]
NETS: dict[str, Net] = {}
_rng = np.random.default_rng(0)
X = _rng.standard_normal((150, 37)).astype(np.float32)
LABELS = _rng.integers(0, 5, 150)
SPARSE = np.where(_rng.random((150, 300)) < 0.1, _rng.integers(0, 256, (150, 300)), 0).astype(
    np.uint8
)
ONE_HOT = np.eye(5, dtype=np.float32)[LABELS]


def net(name: str) -> Callable[[Net], Net]:
    def add(function: Net) -> Net:
        NETS[name] = function
        return function

    return add


def classifier(
    *hidden: layers.Layer, optimizer: object = "adam", loss: object = None, **kwargs: object
) -> fnn.Sequential:
    model = fnn.Sequential([layers.Input((37,)), *hidden, layers.Dense(5, activation="softmax")])
    model.compile(
        optimizer, loss or "sparse_categorical_crossentropy", metrics=["accuracy"], **kwargs
    )
    return model


def simple(*hidden: Callable[[], layers.Layer], **kwargs: object) -> Net:
    def make() -> tuple[fnn.Model, tuple[object, ...]]:
        settings = {
            k: v() if callable(v) and not isinstance(v, type) else v for k, v in kwargs.items()
        }
        return classifier(*(layer() for layer in hidden), **settings), (X, LABELS)

    return make


def dense(units: int = 41, **kwargs: object) -> Callable[[], layers.Layer]:
    return lambda: layers.Dense(units, **kwargs)


for activation in (
    "linear", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid",
    "hard_sigmoid", "softplus", "softsign", "softmax",
):  # fmt: skip
    NETS[f"activation {activation}"] = simple(
        dense(activation=activation), dense(23, activation=activation)
    )
for optimizer in (
    lambda: optimizers.SGD(0.1), lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    lambda: optimizers.RMSprop(centered=True, momentum=0.5), lambda: optimizers.Adagrad(0.1),
    lambda: optimizers.Adam(amsgrad=True), lambda: optimizers.AdamW(weight_decay=0.1),
    lambda: optimizers.Nadam(), lambda: optimizers.Lion(), lambda: optimizers.Muon(),
    lambda: optimizers.Adam(clipnorm=0.1), lambda: optimizers.Adam(clipvalue=0.01),
    lambda: optimizers.Adam(global_clipnorm=0.1), lambda: optimizers.SGD(0.1, adaptive_clip=0.05),
    lambda: optimizers.Adam(use_ema=True), lambda: optimizers.Adam(nonfinite="propagate"),
):  # fmt: skip
    NETS[f"optimizer {len(NETS)} {optimizer().__class__.__name__}"] = simple(
        dense(activation="relu"), dense(18, activation="tanh"), optimizer=optimizer
    )
NETS["batchnorm"] = simple(
    dense(),
    layers.BatchNormalization,
    layers.ReLU,
    dense(50),
    layers.BatchNormalization,
    layers.ReLU,
)
NETS["batchnorm, clipped"] = simple(
    dense(600), layers.BatchNormalization, layers.ReLU, dense(600, activation="relu"),
    optimizer=lambda: optimizers.Adam(global_clipnorm=0.1),
)  # fmt: skip
NETS["layernorm"] = simple(dense(), layers.LayerNormalization, layers.ELU)
NETS["dropout"] = simple(
    dense(activation="relu"), lambda: layers.Dropout(0.3, seed=1), dense(30, activation="tanh"),
    lambda: layers.Dropout(0.2, seed=2), lambda: layers.GaussianNoise(0.1, seed=3),
)  # fmt: skip
NETS["dropconnect"] = simple(dense(activation="relu", dropconnect=0.3, dropconnect_seed=4))
NETS["residual"] = simple(
    dense(33, activation="relu"),
    lambda: layers.Residual([layers.Dense(20, activation="relu"), layers.Dense(33)]),
)
NETS["regularized"] = simple(
    dense(
        kernel_regularizer=regularizers.L1L2(1e-3, 1e-3), activity_regularizer=regularizers.L2(1e-3)
    )
)
NETS["constrained"] = simple(dense(kernel_constraint="max_norm", bias_constraint="non_neg"))
NETS["constrained, averaged"] = simple(
    dense(kernel_constraint="unit_norm", bias_constraint="max_norm"),
    dense(kernel_constraint=constraints.MaxNorm(1.0, axis=1)),
    optimizer=lambda: optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
)
NETS["Muon, clipped, averaged"] = simple(
    dense(50, activation="relu", kernel_regularizer="l2", kernel_constraint="max_norm"),
    layers.BatchNormalization, dense(20, activation="relu"),
    optimizer=lambda: optimizers.Muon(clipnorm=0.1, use_ema=True),
)  # fmt: skip
NETS["regularized, clipped"] = simple(
    dense(kernel_regularizer="l1"), layers.LayerNormalization, dense(600), dense(600),
    optimizer=lambda: optimizers.Adam(global_clipnorm=0.1),
)  # fmt: skip
NETS["five layers"] = simple(*(dense(60 + 7 * i, activation="relu") for i in range(5)))
for loss in (
    losses.CategoricalCrossentropy(label_smoothing=0.1), losses.BinaryCrossentropy(), "mse", "mae",
    losses.Huber(), "poisson", losses.CategoricalFocalCrossentropy(),
):  # fmt: skip
    NETS[f"loss {len(NETS)}"] = lambda loss=loss: (
        classifier(layers.Dense(30, activation="relu"), loss=loss),
        (X, ONE_HOT),
    )


@net("sparse uint8")
def _() -> tuple[fnn.Model, tuple[object, ...]]:
    model = fnn.Sequential([
        layers.Input((300,)), layers.Rescaling(1 / 255), layers.Dense(70, activation="relu"),
        layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, (SPARSE, LABELS)


def graph(optimizer: object) -> tuple[fnn.Model, tuple[object, ...]]:
    a, b = layers.Input((37,)), layers.Input((300,))
    shared = layers.Dense(37, activation="tanh")
    x = layers.Add()([shared(a), shared(shared(a))])
    x = layers.Concatenate()([x, layers.Dense(9, activation="relu")(b)])
    outputs = [
        layers.Dense(5, activation="softmax", name="a")(x), layers.Dense(1, name="b")(x),
    ]  # fmt: skip
    model = fnn.Model([a, b], outputs)
    model.compile(optimizer, ["sparse_categorical_crossentropy", "mse"])
    return model, ([X, SPARSE], [LABELS, X[:, :1]])


NETS["graph"] = lambda: graph("adam")
NETS["graph, clipped"] = lambda: graph(optimizers.Adam(global_clipnorm=0.1))


@net("pictures")
def _() -> tuple[fnn.Model, tuple[object, ...]]:
    model = fnn.Sequential([
        layers.Input((10, 30, 1)), layers.Conv2D(16, 5, strides=2, activation="relu"),
        layers.DepthwiseConv2D(2), layers.BatchNormalization(), layers.Flatten(),
        layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizers.Adam(clipnorm=1.0), "sparse_categorical_crossentropy")
    return model, (SPARSE.reshape(-1, 10, 30, 1), LABELS)


@net("mnist")
def _() -> tuple[fnn.Model, tuple[object, ...]]:
    (x, y), _ = datasets.mnist.load_data()
    model = fnn.Sequential([
        layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten(),
        layers.Dense(512, activation="relu"), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, (x[:3000], y[:3000])


def digest(make: Net, batch_size: int) -> str:
    """Of the weights and the losses after two epochs."""
    fnn.utils.set_random_seed(7)
    model, data = make()
    history = model.fit(*data, batch_size=batch_size, epochs=2, verbose=0)
    sha = hashlib.sha256()
    for weight in model.get_weights():
        sha.update(np.ascontiguousarray(weight).tobytes())
    sha.update(json.dumps(history.history, sort_keys=True).encode())
    sha.update(np.ascontiguousarray(model.predict(data[0])[0]).tobytes())
    return sha.hexdigest()[:16]


def digests() -> dict[str, str]:
    found = {}
    for level in levels.levels():
        levels.use(level)
        for name, make in NETS.items():
            for batch_size in (32, 137):
                of_threads = set()
                for n_threads in THREADS:
                    fnn.set_num_threads(n_threads)
                    of_threads.add(digest(make, batch_size))
                key = f"{level}, {name}, batch {batch_size}"
                if len(of_threads) > 1:
                    print(f"{key}: other bits with another number of threads")
                found[key] = " ".join(sorted(of_threads))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("file")
    arguments = parser.parse_args()
    found = digests()
    if arguments.what == "record":
        with open(arguments.file, "w") as file:
            json.dump(found, file, indent=1)
        print(f"{len(found)} hashes of {len(NETS)} nets")
        return 0
    with open(arguments.file) as file:
        expected = json.load(file)
    wrong = [key for key in expected if found.get(key) != expected[key]]
    print("\n".join(wrong) or f"{len(expected)} hashes of {len(NETS)} nets are as they were")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
