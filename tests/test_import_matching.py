"""Which layer gets which weights of Keras or PyTorch, and what is said where they don't fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from importing import dense, first_of_each, state
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import fastnn as fnn
from fastnn import layers


def test_names_come_before_the_order() -> None:
    model = dense("a", "b")
    fnn.import_weights(model, state(b=2, a=1))
    assert first_of_each(model) == [1, 2]


def test_the_order_where_names_say_nothing() -> None:
    dense(None)
    model = dense(None, None)  # dense_1, dense_2
    fnn.import_weights(model, state(dense=1, dense_1=2))
    assert first_of_each(model) == [1, 2]


def test_an_order_that_contradicts_a_name_is_refused() -> None:
    model = dense("a", "b")
    before = model.get_weights()
    with pytest.raises(
        ValueError, match=r"by name fit: a; layers without: b .*left over: c\.weight"
    ):
        fnn.import_weights(model, state(c=2, a=1))
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    fnn.import_weights(model, state(c=2, a=1), names={"b": "c"})
    assert first_of_each(model) == [1, 2]


def test_names_that_end_alike_tell_nothing() -> None:
    values = state(**{"x.a": 1, "y.a": 2})
    with pytest.raises(ValueError, match="layers without: a"):
        fnn.import_weights(dense("a"), values)


def test_files_without_an_order(tmp_path: Path) -> None:
    """Shapes tell, or numbers in the names, or nothing."""
    path = tmp_path / "m.safetensors"
    save_file({k: v.astype(np.float32) for k, v in state(p=1, q=2).items()}, path)
    with pytest.raises(ValueError, match="can't be told apart"):
        fnn.import_weights(dense("a", "b"), path)
    alike = {"q.weight": np.ones((5, 5), np.float32), "q.bias": np.ones(5, np.float32)}
    save_file(load_file(path) | alike, path)
    with pytest.raises(ValueError, match=r"left over: p.*q"):
        fnn.import_weights(dense("a", "b"), path)
    save_file({k: v.astype(np.float32) for k, v in (state(p=1) | alike).items()}, path)
    with pytest.raises(ValueError, match=r"left over: p.*q"):
        fnn.import_weights(dense("a", "b"), path)
    numbered = state(**{f"net.{2 * i}": i for i in range(12)})
    save_file({k: v.astype(np.float32) for k, v in numbered.items()}, path)
    model = dense(*[None] * 12)
    fnn.import_weights(model, path)
    assert first_of_each(model) == list(range(12))
    shapes = {"q.weight": np.full((5, 3), 1), "q.bias": np.ones(5),
              "p.weight": np.full((3, 5), 2), "p.bias": np.ones(3)}  # fmt: skip
    save_file({k: v.astype(np.float32) for k, v in shapes.items()}, path)
    model = fnn.Sequential([layers.Input((3,)), layers.Dense(5), layers.Dense(3)])
    fnn.import_weights(model, path)
    assert first_of_each(model) == [1, 2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"a.bias": None}, r"bias \(3,\) of layer 'a' is missing"),
        ({"a.more": np.ones(2)}, r"layer 'a' has no use for 'a\.more' \(2,\)"),
        (
            {"a.weight": np.ones((3, 4))},
            r"'a\.weight' has shape \(3, 4\), layer 'a' wants \(3, 3\)",
        ),
        ({"z.weight": np.ones((3, 3))}, r"left over: z\.weight \(3, 3\)"),
        ({"a.bias": np.ones(3, complex)}, "must hold real numbers, got complex128"),
        ({"a.bias": np.array(list("abc"))}, "must hold real numbers"),
    ],
)
def test_what_does_not_fit_is_listed(changed: dict[str, Any], message: str) -> None:
    tensors = {k: v for k, v in (state(a=1) | changed).items() if v is not None}
    model = dense("a")
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        fnn.import_weights(model, tensors)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def stack(*names: str | None, units: Any = (16, 8, 8, 3)) -> fnn.Sequential:
    made = [layers.Dense(n, name=name) for n, name in zip(units, names, strict=True)]
    return fnn.Sequential([layers.Input((4,)), *made])


def chain(*shapes: tuple[int, int], names: str = "0246") -> dict[str, NDArray[np.float32]]:
    tensors = {}
    for name, shape in zip(names, shapes, strict=True):
        tensors[f"{name}.weight"] = np.zeros(shape, np.float32)
        tensors[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return tensors


@pytest.mark.parametrize("file", [False, True])
def test_one_wrong_shape_is_named_alone(file: bool, tmp_path: Path) -> None:
    """In the order of the layers, or by the shapes that are left."""
    tensors: Any = chain((16, 4), (8, 16), (9, 8), (3, 8), names="pqrs")
    how = "in their order"
    if file:
        save_file(tensors, path := tmp_path / "m.safetensors")
        tensors, how = path, "by their shapes"
    with pytest.raises(ValueError) as refused:
        fnn.import_weights(stack(None, None, None, "last"), tensors)
    text = str(refused.value)
    layer = re.search(r"'(dense_?\d*)'", text)
    assert layer
    assert text.partition(" don't fit: ")[2] == (
        f"'r.weight' has shape (9, 8), layer '{layer[1]}' wants (8, 8), "
        f"'r.bias' has shape (9,), layer '{layer[1]}' wants (8,); {how} 3 of 4 layers fit; "
        "names={'layer': 'its name there', ...} says which is which"
    )


def test_wrong_shapes_of_layers_that_have_names() -> None:
    """However many they are."""
    with pytest.raises(ValueError, match=r"(?<!apart or) don't fit: 'b/kernel'.*by name 1 of 4"):
        fnn.import_weights(stack(*"abcd"), stack(*"abcd", units=(16, 7, 7, 2)))


def test_where_hardly_anything_fits_both_sides_are_listed() -> None:
    wrong = chain((16, 4), (8, 16), (8, 9), (4, 8))
    with pytest.raises(ValueError, match="in their order 2 of 4 layers fit"):
        fnn.import_weights(stack(None, None, None, None), wrong)
    wrong = chain((16, 4), (9, 16), (8, 9), (4, 8))
    with pytest.raises(ValueError, match=r"layers without: .*left over: 0\.weight"):
        fnn.import_weights(stack(None, None, None, None), wrong)


def test_a_part_of_the_weights() -> None:
    model = dense("a", "b")
    kept = model.get_weights()[2]
    assert fnn.import_weights(model, state(a=1, z=3), strict=False) == {
        "a/kernel": "a.weight", "a/bias": "a.bias",
    }  # fmt: skip
    assert first_of_each(model)[0] == 1
    np.testing.assert_array_equal(model.get_weights()[2], kept)
    with pytest.raises(ValueError, match=r"layers without: a .*left over: y"):
        fnn.import_weights(model, state(y=1, z=3), strict=False)
    with pytest.raises(ValueError, match=r"don't fit: .*shape \(3, 4\)"):
        fnn.import_weights(model, {"a.weight": np.ones((3, 4)), "a.bias": np.ones(3)}, strict=False)


def test_names_that_are_wrong() -> None:
    with pytest.raises(ValueError, match="has no layer 'c' with weights; it has a, b"):
        fnn.import_weights(dense("a", "b"), state(a=1, b=2), names={"c": "a"})
    with pytest.raises(ValueError, match="has no 'c'; it has a, b"):
        fnn.import_weights(dense("a", "b"), state(a=1, b=2), names={"a": "c"})


def test_residual_and_nested_models() -> None:
    inner = fnn.Sequential([layers.Input((3,)), layers.Dense(3, name="deep")])
    model = fnn.Sequential([
        layers.Input((3,)), layers.Residual([layers.Dense(3, name="in")]),
        inner, layers.Residual([layers.Dense(2, name="out")], name="last"),
    ])  # fmt: skip
    more = {"last_projection.weight": np.full((2, 3), 7), "out.weight": np.full((2, 3), 5)}
    values = state(**{"in": 1, "deep": 2}) | more | {"out.bias": np.ones(2)}
    report = fnn.import_weights(model, values)
    assert report["last_projection/kernel"] == "last_projection.weight"
    assert [float(w.numpy().flat[0]) for w in model.weights if w.name == "kernel"] == [1, 2, 5, 7]
