"""Texts and integers in exported models: lookups, encodings, bins, embeddings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporting import LOOKUPS, NUMBERS, TEXTS, check, mixed_model, session
from nets import set_seeded_weights

import fastnn as fnn
from fastnn import layers
from fastnn.export import graph_of

pytestmark = pytest.mark.usefixtures("fixed_seed")


@pytest.mark.parametrize("shape", [(), (6,), (3, 2)], ids=len)
def test_embedding(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = layers.Input(shape)
    model = set_seeded_weights(
        fnn.Model(x, layers.Dense(3)(layers.Flatten()(layers.Embedding(50, 4)(x))))
    )
    rows = np.random.default_rng(0).integers(0, 50, (5, *shape))
    check(model, tmp_path, [rows])


MODES = ("int", "one_hot", "multi_hot", "count")
FORMS = [
    (mode, shape)
    for mode in MODES
    for shape in [(), (1,), (3,), (2, 1)]
    if len(shape) == 1 or mode in ("int", "one_hot")
]
"""Modes, and shapes of one example that they take."""


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize(("mode", "shape"), FORMS, ids=str)
@pytest.mark.parametrize(
    ("kind", "oov"),
    [*((layers.StringLookup, oov) for oov in (0, 1)),
     *((layers.IntegerLookup, oov) for oov in (0, 1, 3))],
)  # fmt: skip
def test_lookups(
    kind: Any, mode: str, oov: int, masked: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    data, vocabulary, mask = LOOKUPS[kind]
    data = data[:, : math.prod(shape)].reshape(-1, *shape)
    layer = kind(
        vocabulary=vocabulary, num_oov_indices=oov, mask_token=mask if masked else None,
        output_mode=mode,
    )  # fmt: skip
    if oov == 0:
        known = [*vocabulary, mask] if masked else vocabulary
        data = np.where(np.isin(data, known), data, vocabulary[1])
    x = layers.Input(shape)
    check(fnn.Model(x, layer(x)), tmp_path, [data], tolerance=0)


@pytest.mark.parametrize("kind", [layers.StringLookup, layers.IntegerLookup])
def test_weighted_lookups(kind: Any, tmp_path: Path) -> None:
    data, vocabulary, mask = LOOKUPS[kind]
    layer = kind(
        7, vocabulary=vocabulary, mask_token=mask, output_mode="tf_idf", pad_to_max_tokens=True,
        idf_weights=np.linspace(0.25, 3, len(vocabulary)),
    )  # fmt: skip
    x = layers.Input(data.shape[1:])
    check(fnn.Model(x, layer(x)), tmp_path, [data])


def test_a_lookup_makes_these_numbers(tmp_path: Path) -> None:
    """By hand: the mask is 0, then the buckets, by Python's remainder, then the vocabulary."""
    x = layers.Input((2,))
    lookup = layers.IntegerLookup(vocabulary=[12, -7], num_oov_indices=3, mask_token=5)
    fnn.Model(x, lookup(x)).export(tmp_path / "net.onnx")
    data = np.array([[12, -7], [5, 0], [4, -4], [-1, 2**60 + 1]])
    (found,) = session(tmp_path / "net.onnx").run(None, {x.name: data})
    bucket = (2**60 + 1) % 3
    assert found.tolist() == [[4, 5], [0, 1], [2, 3], [3, 1 + bucket]]


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_lookup_with_columns_to_spare(mode: str, tmp_path: Path) -> None:
    x = layers.Input((3,))
    lookup = layers.StringLookup(
        7, mask_token="-", vocabulary=["red", "blue"], output_mode=mode, pad_to_max_tokens=True
    )
    check(fnn.Model(x, lookup(x)), tmp_path, [TEXTS], tolerance=0)


@pytest.mark.parametrize(("mode", "shape"), [form for form in FORMS if form[0] != "int"], ids=str)
def test_category_encoding(mode: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 4, (5, *shape))
    x = layers.Input(shape)
    check(fnn.Model(x, layers.CategoryEncoding(4, mode)(x)), tmp_path, [data], tolerance=0)


BOUNDARIES = [-1.5, 0.0, 0.1, 0.1, 16777217.0]


@pytest.mark.parametrize(("mode", "shape"), FORMS, ids=str)
@pytest.mark.parametrize("boundaries", [BOUNDARIES, []], ids=len)
def test_discretization(
    boundaries: list[float], mode: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    edges = np.array(BOUNDARIES, np.float32)
    around = [np.nextafter(edges, np.float32(-np.inf)), edges, np.nextafter(edges, np.float32(9e9))]
    numbers = np.concatenate([*around, np.float32([-0.0, 3e38, -3e38])])
    x = layers.Input(shape)
    model = fnn.Model(x, layers.Discretization(boundaries, output_mode=mode)(x))
    check(model, tmp_path, [numbers.reshape(-1, *shape)], tolerance=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_what_comes_before_bins_and_behind_them(dtype: str, tmp_path: Path) -> None:
    """Real numbers come as ``input_dtype`` says, though a layer makes integers of them."""
    x = layers.Input((3,))
    bins = layers.Discretization(num_bins=5)
    scaled = layers.Rescaling(0.3, 0.1)(layers.Normalization(mean=3.0, variance=7.0)(x))
    data = np.random.default_rng(0).integers(-90, 90, (40, 3)).astype(dtype)
    bins.adapt(data * 0.03)
    made = bins(scaled)
    outputs = [made, layers.CategoryEncoding(5, "count")(made), layers.Embedding(5, 2)(made)]
    check(fnn.Model(x, outputs), tmp_path, [data], input_dtype=dtype, tolerance=0)


def test_inputs_of_several_types_in_one_model(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sizes, both = random.integers(-3, 3, (5, 4)), random.integers(0, 9, (5, 1))
    for dtype, stored in (("float32", "float"), ("uint8", "uint8")):
        model = mixed_model()
        numbers = np.abs(sizes).astype(dtype)
        check(model, tmp_path, [TEXTS, NUMBERS[:, :2], numbers, both], input_dtype=dtype)
        types = [each.type for each in session(tmp_path / "net.onnx").get_inputs()]
        assert types == ["tensor(string)", "tensor(int64)", f"tensor({stored})", "tensor(int64)"]


def cast_first(model: fnn.Model, kind: str) -> list[int]:
    """To which types things are cast before the first operator of this kind has them."""
    operators = {each.output: each for each in graph_of(model, casts=True).operators}
    waiting = [next(each for each in operators.values() if each.kind == kind).output]
    found = []
    while waiting:
        each = operators.get(waiting.pop())
        if each is not None:
            waiting += each.inputs
            found += [each.attributes["to"]] if each.kind == "Cast" else []
    return found


def test_no_integer_goes_through_float32() -> None:
    x = layers.Input((4,))
    shaped = layers.Embedding(9, 2)(layers.Reshape((2, 2))(layers.Flatten()(x)))
    assert cast_first(fnn.Model(x, shaped), "Gather") == []
    found = layers.IntegerLookup(vocabulary=[3, 4])(x)
    both = [layers.Dense(2)(x), layers.Dense(2)(found), layers.Embedding(4, 2)(found)]
    model = fnn.Model(x, both)
    assert cast_first(model, "Gather") == []
    # For the Dense layers: each value is cast once.
    again = fnn.Model(x, [*both, layers.Dense(3)(x), found])
    for each in (model, again):
        assert [o.kind for o in graph_of(each).operators].count("Cast") == 2


def test_integers_that_come_as_float32_are_refused_where_it_lacks_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fastnn.export.rules.tables._EXACT", 8)
    x = layers.Input((2,))
    computed = layers.Activation("linear")(x)
    data = np.arange(8).reshape(4, 2)
    check(fnn.Model(x, layers.Embedding(9, 1)(x)), tmp_path, [data])
    data = data.astype(np.float32)
    check(fnn.Model(x, layers.Embedding(8, 1)(computed)), tmp_path, [data])
    model = fnn.Model(x, layers.Embedding(9, 1)(computed))
    with pytest.raises(ValueError, match=r"integers up to 9 come to it as float32, .* up to 8"):
        model.export(tmp_path / "no.onnx")


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0), "c"),
        (lambda: layers.StringLookup(
            vocabulary=["a", "b"], num_oov_indices=0, mask_token="-", output_mode="count"), "c"),
        (lambda: layers.IntegerLookup(vocabulary=[1, 2], num_oov_indices=0), 3),
        *((lambda mode=mode: layers.CategoryEncoding(3, mode), wrong)
          for mode in MODES[1:] for wrong in (-1, 3)),
        (lambda: layers.Embedding(3, 2), 3),
        (lambda: layers.Embedding(3, 2), -1),
    ],
)  # fmt: skip
def test_what_predict_refuses_is_refused(make: Any, wrong: Any, tmp_path: Path) -> None:
    x = layers.Input((1,))
    model = fnn.Model(x, make()(x))
    model.export(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=str(wrong)):
        model.predict(np.array([[wrong]]), verbose=0)
    with pytest.raises(Exception, match="out of data bounds"):
        session(tmp_path / "net.onnx").run(None, {x.name: np.array([[wrong]])})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: layers.StringLookup(vocabulary=["a"], num_oov_indices=2, name="words")(x),
         r"'words' \(StringLookup\) can't be exported: its num_oov_indices is 2"),
        (lambda x: layers.IntegerLookup(
            vocabulary=[1], num_oov_indices=2, oov_method="farmhash", name="ids")(x),
         r"'ids' \(IntegerLookup\) can't be exported: its oov_method is 'farmhash'"),
        (lambda x: layers.IntegerLookup(name="ids")(x), "'ids' has no vocabulary yet"),
        (lambda x: layers.Discretization(num_bins=3, name="bins")(x),
         "'bins' has no bin_boundaries yet"),
        (lambda x: layers.StringLookup(vocabulary=["a"], name="words")(
            layers.IntegerLookup(vocabulary=[1])(x)), "'words' .*takes texts, not numbers"),
        (lambda x: [layers.StringLookup(vocabulary=["a"])(x), layers.Dense(2, name="net")(x)],
         "'net' .*takes numbers, not texts"),
    ],
)  # fmt: skip
def test_what_no_file_can_say(make: Any, message: str, tmp_path: Path) -> None:
    x = layers.Input((2,))
    with pytest.raises(ValueError, match=message):
        fnn.Model(x, make(x)).export(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_names_the_operators_that_it_has(tmp_path: Path) -> None:
    x = layers.Input((2,))
    for layer, wanted in (
        (layers.CategoryEncoding(3), {"": 17}),
        (layers.IntegerLookup(vocabulary=[3]), {"": 17, "ai.onnx.ml": 3}),
    ):
        fnn.Model(x, layer(x)).export(tmp_path / "net.onnx")
        made = onnx.load(tmp_path / "net.onnx")
        assert {each.domain: each.version for each in made.opset_import} == wanted
