"""Residual: shapes, the projection, weights and names, configurations, refusals."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, utils


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    utils.clear_session()
    yield


def block(width: int = 8, **settings: Any) -> layers.Residual:
    return layers.Residual([layers.Dense(16, "relu"), layers.Dense(width)], **settings)


def paths(layer: Any) -> list[str]:
    return [variable.path for variable in layer.weights]


INNER = ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]


def test_equal_widths_need_no_projection() -> None:
    residual = block()
    assert residual(layers.Input((8,))).shape == (None, 8)
    assert residual.projection is None
    assert paths(residual) == INNER
    assert residual.count_params() == 8 * 16 + 16 + 16 * 8 + 8


def test_other_widths_are_projected() -> None:
    residual = block(5)
    assert residual(layers.Input((8,))).shape == (None, 5)
    projection = residual.projection
    assert projection is not None
    assert (projection.name, projection.units, projection.bias) == ("residual_projection", 5, None)
    assert projection.activation.kind == "linear"
    assert type(projection.kernel_initializer).__name__ == "GlorotUniform"
    assert paths(residual) == [*INNER, "residual_projection/kernel"]
    assert projection.kernel.shape == (8, 5)


def test_it_may_be_nested_and_called_twice() -> None:
    residual = layers.Residual([block(), layers.ReLU()], name="outer")
    x = layers.Input((8,))
    assert residual(residual(x)).shape == (None, 8)
    assert paths(residual) == INNER
    assert [each.name for each in residual.inner_layers] == ["residual", "re_lu"]


def test_it_was_built_for_one_width() -> None:
    residual = block()
    residual.build((None, 8))
    with pytest.raises(ValueError, match=r"'dense' \(Dense\) was built for inputs"):
        residual.build((None, 9))
    bare = layers.Residual([layers.ReLU()])
    bare.build((None, 3))
    bare.build((None, 4))
    assert bare.weights == []


def test_trainable_reaches_its_layers() -> None:
    residual = block(5)
    residual.build((None, 8))
    residual.trainable = False
    assert residual.trainable_weights == []
    assert len(residual.non_trainable_weights) == 5
    assert not any(variable.trainable for variable in residual.weights)
    residual.trainable = True
    assert len(residual.trainable_weights) == 5
    frozen = block(5, trainable=False)
    frozen.build((None, 8))
    assert not any(variable.trainable for variable in frozen.weights)


def test_weights_go_round() -> None:
    residual = block(5)
    residual.build((None, 8))
    values = [np.full(w.shape, i, np.float32) for i, w in enumerate(residual.get_weights())]
    residual.set_weights(values)
    for found, wanted in zip(residual.get_weights(), values, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_config_goes_round() -> None:
    inner = [layers.Dense(8, "relu", kernel_regularizer="l2"), block(), layers.ReLU()]
    residual = layers.Residual(inner, name="own", trainable=False)
    again = layers.Residual.from_config(residual.get_config())
    assert again.get_config() == residual.get_config()
    assert not again.built and again.name == "own" and not again.trainable


def model() -> fnn.Sequential:
    return fnn.Sequential([layers.Input((6,)), block(5), layers.Dense(2, name="head")])


def test_a_model_with_it_is_saved_and_loaded(tmp_path: Path) -> None:
    saved = model()
    saved.save(tmp_path / "model.safetensors")
    loaded = fnn.load_model(tmp_path / "model.safetensors")
    assert loaded.get_config() == saved.get_config()
    assert paths(loaded) == paths(saved)
    for found, wanted in zip(loaded.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    copied = copy.deepcopy(saved)
    assert paths(copied) == paths(saved)


def test_it_is_one_row_of_the_summary() -> None:
    text: list[str] = []
    model().summary(print_fn=text.append)
    row = next(line for line in text[0].splitlines() if "residual" in line)
    assert row.split() == ["residual", "(Residual)", "(None,", "5)", "227"]
    assert "Total params: 239 " in text[0]


def test_names_inside_are_names_of_the_model() -> None:
    with pytest.raises(ValueError, match="two layers of the name 'dense'"):
        fnn.Sequential([block(), layers.Dense(3, name="dense")])
    x = layers.Input((8,))
    with pytest.raises(ValueError, match="two layers of the name 'dense_3'"):
        fnn.Model(x, layers.Dense(2, name="dense_3")(block()(x)))


def test_a_clash_of_paths_is_not_saved(tmp_path: Path) -> None:
    clash = fnn.Sequential(
        [layers.Input((6,)), layers.Dense(6, name="residual_projection"), block(5)]
    )
    with pytest.raises(ValueError, match=r"several weights of one name: \['residual_projection/k"):
        clash.save(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("inner", "error", "message"),
    [
        ([], ValueError, "at least one layer, got an empty list"),
        (layers.Dense(3), TypeError, "must be a list of layers"),
        (["dense"], TypeError, "must be layers, got 'dense'"),
        ([layers.Add()], ValueError, r"\(Add\) merges several"),
        ([layers.Input((3,)).node.layer], TypeError, "plain layers, got .*InputLayer"),
        ([fnn.Sequential([layers.Dense(3)])], TypeError, "plain layers, got .*Sequential"),
        ([layers.ReLU(name="a"), layers.ReLU(name="a")], ValueError, "names, got a, a"),
    ],
)
def test_refused_layers(inner: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        layers.Residual(inner)


def test_refused_ranks() -> None:
    with pytest.raises(ValueError, match=r"add inputs of shape \(None, 2, 3\) .*\(None, 6\)"):
        layers.Residual([layers.Flatten()])(layers.Input((2, 3)))
    with pytest.raises(ValueError, match=r"add inputs of shape \(None, 6\) .*\(None, 2, 3\)"):
        layers.Residual([layers.Reshape((2, 3))])(layers.Input((6,)))


@pytest.mark.parametrize("inner", [None, "dense", [3], {"class_name": "Dense"}])
def test_malformed_configs(inner: Any) -> None:
    with pytest.raises(ValueError, match="'layers' of a Residual must be a list of configs"):
        layers.Residual.from_config({"layers": inner})
