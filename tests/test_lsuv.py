"""LSUV: kernels are orthogonal when built, and have outputs of variance 1 when fit begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs

import fastnn as fnn
from fastnn import callbacks, initializers, layers, optimizers
from fastnn.models import lsuv

X, Y = blobs(2000)
X = 5 * X


def lsuv_layer(width: int, activation: str | None, **settings: Any) -> layers.Dense:
    return layers.Dense(width, activation, kernel_initializer="lsuv", **settings)


def deep(first: Any = None) -> Any:
    model = fnn.Sequential(
        [
            layers.Input((9,)),
            *([] if first is None else [first]),
            lsuv_layer(32, "relu"),
            lsuv_layer(32, "tanh", bias_initializer=initializers.Constant(0.5)),
            layers.Dense(8, "relu"),
            lsuv_layer(4, "softmax"),
        ]
    )
    # Steps of size 0: what is measured is what fit began with.
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    return model


def variances(model: Any, x: Any) -> list[float]:
    """Of what each LSUV layer feeds to its activation, in float64."""
    found = []
    for layer in model.layers:
        if isinstance(getattr(layer, "kernel_initializer", None), initializers.LSUV):
            node = layer.output.node
            source = node.inputs[0]
            part = x if source in model.inputs else fnn.Model(model.inputs, source).predict(x)
            bias = layer.bias.numpy().astype(np.float64)
            found.append(float(np.var(part.astype(np.float64) @ layer.kernel.numpy() + bias)))
    return found


def test_it_is_orthogonal_when_built() -> None:
    kernel = initializers.LSUV(seed=3)((40, 16))
    np.testing.assert_array_equal(kernel, initializers.Orthogonal(seed=3)((40, 16)))
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-5)


def test_fit_scales_every_layer() -> None:
    model = deep()
    before = model.get_weights()
    assert max(variances(model, X[: lsuv.ROWS])) > 2
    model.fit(X, Y, verbose=0)
    for variance in variances(model, X[: lsuv.ROWS]):
        assert abs(variance - 1) < 0.1
    for old, new in zip(before, model.get_weights(), strict=True):
        scale = np.linalg.norm(new) / (np.linalg.norm(old) or 1)
        np.testing.assert_allclose(new, scale * old, rtol=1e-5, atol=1e-7)
    # Neither biases nor layers of another initializer are scaled.
    assert_same_bits(model.get_weights()[4:6], before[4:6])


def test_only_the_first_rows_count() -> None:
    fnn.utils.set_random_seed(1)
    one = deep()
    fnn.utils.set_random_seed(1)
    other = deep()
    assert_same_bits(one.get_weights(), other.get_weights())
    other_x = X.copy()
    other_x[lsuv.ROWS :] *= 3
    one.fit(X, Y, verbose=0)
    other.fit(other_x, Y, verbose=0)
    assert_same_bits(one.get_weights(), other.get_weights())


def test_it_is_done_once() -> None:
    model = deep()
    model.fit(X, Y, verbose=0)
    weights = model.get_weights()
    model.fit(10 * X, Y, verbose=0)
    assert_same_bits(model.get_weights(), weights)


def test_weights_that_were_set_or_loaded_are_left_alone(tmp_path: Path) -> None:
    model = deep()
    weights = [1.25 * value for value in model.get_weights()]
    model.set_weights(weights)
    model.save(tmp_path / "model.safetensors")
    model.fit(X, Y, verbose=0)
    assert_same_bits(model.get_weights(), weights)
    loaded = fnn.load_model(tmp_path / "model.safetensors")
    loaded.fit(X, Y, verbose=0)
    assert_same_bits(loaded.get_weights(), weights)


def test_the_first_batch_of_an_iterable_counts() -> None:
    model = deep()
    taken = []

    def batches() -> Any:
        for start in (0, 500, 1000):
            taken.append(start)
            yield X[start : start + 500], Y[start : start + 500]

    history = model.fit(batches(), verbose=0)
    assert taken == [0, 500, 1000] and model.optimizer.iterations == 3
    assert len(history.epoch) == 1
    for variance in variances(model, X[:500]):
        assert abs(variance - 1) < 0.1


def test_images_and_sparse_inputs() -> None:
    random = np.random.default_rng(0)
    x = (random.integers(0, 255, (300, 3, 3)) * (random.random((300, 3, 3)) < 0.2)).astype(np.uint8)
    y = random.integers(0, 4, 300)

    def small(shape: tuple[int, ...]) -> Any:
        model = fnn.Sequential(
            [
                layers.Input(shape),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(
                    16, "relu", kernel_initializer=initializers.LSUV(tolerance=1e-3, seed=1)
                ),
                layers.Dense(4, "softmax"),
            ]
        )
        model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        return model

    image = small((3, 3))
    image.fit(x, y, verbose=0)
    assert variances(image, x) == pytest.approx([1], abs=1e-3)
    sparse = pytest.importorskip("scipy.sparse")
    flat = small((9,))
    flat.fit(sparse.csr_array(x.reshape(300, 9).astype(np.float32)), y, verbose=0)
    np.testing.assert_allclose(flat.get_weights()[0], image.get_weights()[0], rtol=1e-5)


def test_graphs_and_shared_layers() -> None:
    a, b = layers.Input((9,), name="a"), layers.Input((9,), name="b")
    shared = lsuv_layer(16, "relu")
    merged = layers.Add()([shared(a), shared(b)])
    doubled = layers.Add()([merged, merged])
    model = fnn.Model([a, b], lsuv_layer(4, "softmax")(doubled))
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    model.fit([X, X + 1], Y, verbose=0)
    first = X[: lsuv.ROWS].astype(np.float64)
    assert np.var(first @ shared.kernel.numpy()) == pytest.approx(1, abs=0.1)
    head = model.layers[-1]
    part = fnn.Model(model.inputs, doubled).predict([X[: lsuv.ROWS], X[: lsuv.ROWS] + 1])
    assert np.var(part @ head.kernel.numpy()) == pytest.approx(1, abs=0.1)


def test_inside_of_a_residual() -> None:
    inner = [lsuv_layer(32, "relu"), layers.ReLU(), lsuv_layer(9, None)]
    residual = layers.Residual(inner)
    model = fnn.Sequential([layers.Input((9,)), residual])
    lsuv.calibrate(model, _dataset(X[:500]))
    hidden = np.maximum(X[:500].astype(np.float64) @ inner[0].kernel.numpy(), 0)
    assert np.var(hidden @ inner[2].kernel.numpy()) == pytest.approx(1, abs=0.1)
    assert np.var(X[:500] @ inner[0].kernel.numpy()) == pytest.approx(1, abs=0.1)


def test_after_a_residual() -> None:
    residual = layers.Residual([lsuv_layer(32, "relu"), layers.Dense(16)])
    model = fnn.Sequential([layers.Input((9,)), residual, lsuv_layer(4, "softmax")])
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    assert variances(model, X[: lsuv.ROWS]) == pytest.approx([1], abs=0.1)
    inner = residual.layers[0].get_weights()[0]
    assert np.var(X[: lsuv.ROWS].astype(np.float64) @ inner) == pytest.approx(1, abs=0.1)


def test_no_variance_no_scale() -> None:
    model = deep()
    before = model.get_weights()
    lsuv.calibrate(model, _dataset(np.zeros((50, 9), np.float32)))
    assert_same_bits(model.get_weights()[:2], before[:2])
    assert np.isfinite(np.concatenate([each.ravel() for each in model.get_weights()])).all()


def test_automatic_names_do_not_depend_on_it() -> None:
    fnn.utils.clear_session()
    deep().fit(X, Y, verbose=0)
    x = layers.Input((3,))
    assert (x.name, fnn.Model(x, layers.ReLU()(x)).name) == ("input_layer_1", "functional")


def test_callbacks_see_scaled_weights_and_may_replace_them() -> None:
    model = deep()
    wanted = [0.5 * value for value in model.get_weights()]
    replace = callbacks.LambdaCallback(on_train_begin=lambda logs: model.set_weights(wanted))
    model.fit(X, Y, verbose=0, callbacks=[replace])
    assert_same_bits(model.get_weights(), wanted)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"tolerance": 0}, ValueError),
        ({"tolerance": "small"}, TypeError),
        ({"max_iterations": 0}, ValueError),
        ({"max_iterations": 1.5}, TypeError),
        ({"seed": -1}, ValueError),
    ],
)
def test_refusals(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        initializers.LSUV(**settings)


def test_config_goes_round() -> None:
    initializer = initializers.LSUV(0.05, 3, seed=7)
    again = initializers.deserialize(initializers.serialize(initializer))
    assert again.get_config() == {"tolerance": 0.05, "max_iterations": 3, "seed": 7}
    assert isinstance(initializers.get("LSUV"), initializers.LSUV)


def _dataset(x: Any) -> Any:
    from fastnn.data.dataset import Dataset

    return Dataset([x])
