"""Layers that prepare data: Keras's numbers, nets that begin with them, their files, bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.preprocessing_cases import CASES, run

import fastnn as fnn
from fastnn import layers
from fastnn.preprocessing.farmhash import fingerprint64
from fastnn.preprocessing.siphash import siphash

RECORDED = json.loads(
    (Path(__file__).parent / "reference" / "preprocessing.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", CASES)
def test_learns_and_makes_what_keras_does(name: str) -> None:
    wanted = RECORDED["cases"][name]
    found = run(layers, CASES[name])
    assert found["shape"] == wanted["shape"]
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        if key in ("y", "boundaries", "mean", "variance") and isinstance(values[0], (float, int)):
            # Keras sums in float32: an ulp of the largest.
            scale = max(1.0, float(np.abs(values).max()))
            np.testing.assert_allclose(found[key], values, rtol=4e-6, atol=1e-6 * scale)
        else:
            assert found[key] == values, key


def test_every_case_is_recorded() -> None:
    assert RECORDED["cases"].keys() == CASES.keys(), "record the new cases"
    assert RECORDED["origin"]["keras"].startswith("3.")


def test_farmhash() -> None:
    """TensorFlow 2.21's to_hash_bucket_fast, of 1000003 buckets, for texts of each way of it."""
    lengths = (0, 1, 3, 4, 7, 8, 16, 17, 32, 33, 64, 65, 128, 129, 500)
    assert [fingerprint64(b"a" * n) % 1000003 for n in lengths] == HASHES


def test_siphash() -> None:
    """The paper's own example, and lengths around a word."""
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash(key, bytes(range(15))) == 0xA129CA6149BE45E5
    # TensorFlow 2.21's to_hash_bucket_strong, of 1000003 buckets.
    texts = ["", "a", "abcdefg", "abcdefgh", "é" * 20, "x" * 300]
    assert [siphash((133, 137), text.encode()) % 1000003 for text in texts] == [
        953272, 554259, 699324, 676107, 41927, 621382
    ]  # fmt: skip


HASHES = [
    377723,
    291400,
    557646,
    689292,
    110607,
    628338,
    522207,
    216284,
    951431,
    20243,
    745537,
    177372,
    169092,
    2666,
    676440,
]


# --- learning from data -------------------------------------------------------------------------


def test_normalization_learns_the_same_from_batches() -> None:
    x = np.random.default_rng(0).normal(1e4, 1.0, (1000, 3))
    whole, parts = layers.Normalization(), layers.Normalization()
    whole.adapt(x)
    parts.adapt((x[i : i + 7], None) for i in range(0, 1000, 7))
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-7)
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-6)
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(whole.variance, x.var(axis=0), rtol=1e-6)
    whole.adapt(x[:10])  # afresh
    np.testing.assert_allclose(whole.mean, x[:10].mean(axis=0), rtol=1e-7)


def test_lookups_learn_the_same_from_batches() -> None:
    tokens = np.array(list("abracadabra"))
    whole, parts = layers.StringLookup(), layers.StringLookup()
    whole.adapt(tokens)
    parts.adapt(tokens[i : i + 2] for i in range(0, 11, 2))
    assert whole.get_vocabulary() == parts.get_vocabulary() == ["[UNK]", *"arbdc"]
    parts.adapt((tokens[i : i + 2] for i in range(0, 11, 2)), steps=1)
    assert parts.get_vocabulary() == ["[UNK]", "b", "a"]


def test_documents_come_in_batches_too() -> None:
    """Rows of a matrix are documents, and a batch that is a vector is one."""
    texts = np.array([["a", "b"], ["a", "a"], ["c", "b"]])
    whole, parts, each = (layers.StringLookup(output_mode="tf_idf") for _ in range(3))
    whole.adapt(texts)
    parts.adapt([texts[:1], texts[1:]][k] for k in range(2))
    each.adapt(row for row in texts)
    idf = np.log(1 + 3 / (1 + np.array([2, 2, 1])))
    assert whole.get_vocabulary() == ["[UNK]", "a", "b", "c"]
    np.testing.assert_allclose(whole.idf_weights, [idf.mean(), *idf], rtol=1e-6)
    for other in (parts, each):
        np.testing.assert_array_equal(other.idf_weights, whole.idf_weights)


def test_a_net_of_weighted_texts_comes_back_from_its_file(tmp_path: Path) -> None:
    lookup = layers.StringLookup(
        output_mode="tf_idf", max_tokens=6, pad_to_max_tokens=True, num_oov_indices=2, salt=3
    )
    texts = np.array([["a", "b", "x"], ["a", "a", "y"], ["c", "b", "a"]])
    lookup.adapt(texts[:2])
    model = fnn.Sequential([layers.Input((3,), dtype="string"), lookup, layers.Dense(2)])
    model.save(tmp_path / "net.safetensors")
    loaded = fnn.load_model(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(loaded.predict(texts), model.predict(texts))
    again = loaded.layers[0]
    np.testing.assert_array_equal(again(texts), lookup(texts))
    assert again.get_config() == lookup.get_config() and again.salt == (3, 3)


def test_bins_of_batches_have_about_as_many_numbers() -> None:
    x = np.random.default_rng(0).exponential(size=20_000)
    layer = layers.Discretization(num_bins=8)
    layer.adapt(part for part in np.array_split(x, 9))
    counts = np.bincount(layer(x), minlength=8)
    assert np.abs(counts / 20_000 - 1 / 8).max() < 0.02


def test_a_vocabulary_file_has_a_token_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("über\nb\n", encoding="utf-8")
    layer = layers.StringLookup(vocabulary=str(path))
    assert layer.get_vocabulary() == ["[UNK]", "über", "b"]
    with pytest.raises(ValueError, match="'vocabulary' must be a list, got"):
        layers.StringLookup.from_config({**layer.get_config(), "vocabulary": str(path)})
    path.write_text("7\nx\n", encoding="utf-8")
    with pytest.raises(TypeError, match="IntegerLookup: every token must be an integer, got 'x'"):
        layers.IntegerLookup(vocabulary=str(path))


# --- in nets ------------------------------------------------------------------------------------

COLORS = np.array(["red", "green", "blue", "mauve"])


def table(rows: int = 203) -> tuple[dict[str, Any], np.ndarray]:
    rng = np.random.default_rng(1)
    color = rng.integers(0, 4, rows)
    age = rng.integers(18, 90, rows)
    x = {
        "color": COLORS[color],
        "zip": np.array([12345, 77777, -4, 9])[rng.integers(0, 4, rows)],
        "age": age,
        "size": rng.normal(170, 10, (rows, 2)),
    }
    return x, 1000.0 * (color == 2) + 10.0 * age + x["size"][:, 0]


def net(x: dict[str, Any], y: np.ndarray) -> fnn.Model:
    color = layers.Input((1,), dtype="string", name="color")
    zip_code = layers.Input((1,), dtype="int64", name="zip")
    age = layers.Input((1,), name="age")
    size = layers.Input((2,), name="size")
    lookup = layers.StringLookup()
    lookup.adapt(x["color"])
    codes = layers.IntegerLookup(output_mode="one_hot")
    codes.adapt(x["zip"])
    bins = layers.Discretization(num_bins=4, output_mode="one_hot")
    bins.adapt(x["age"])
    normal = layers.Normalization()
    normal.adapt(x["size"])
    unit = layers.Normalization(axis=None, invert=True)
    unit.adapt(y)
    vector = layers.Flatten()(layers.Embedding(lookup.vocabulary_size(), 3)(lookup(color)))
    features = [vector, codes(zip_code), bins(age), normal(size), layers.Rescaling(0.01)(age)]
    hidden = layers.Dense(8, "tanh")(layers.Concatenate()(features))
    return fnn.Model([color, zip_code, age, size], unit(layers.Dense(1)(hidden)))


def test_a_table_of_texts_and_numbers_trains_and_comes_back_from_its_file(tmp_path: Path) -> None:
    fnn.utils.set_random_seed(0)
    x, y = table()
    model = net(x, y)
    model.compile(fnn.optimizers.Adam(0.05), "mse", metrics=["mae"])
    history = model.fit(x, y, epochs=40, batch_size=32, validation_split=0.2, verbose=0).history
    assert history["mae"][-1] < 0.2 * history["mae"][0]
    predicted = model.predict(x)
    model.save(tmp_path / "net.safetensors")
    loaded = fnn.load_model(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), predicted)
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    for one in (model, loaded):
        one.fit(x, y, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    # Row by row as all at once, and what was never seen is no error.
    row = {name: values[:1] for name, values in x.items()}
    np.testing.assert_allclose(model.predict(row), model.predict(x)[:1], rtol=1e-6)
    row["color"] = np.array(["never seen"])
    assert np.isfinite(model.predict(row)).all()


def test_a_net_reads_what_the_layers_make_of_arrays() -> None:
    """By NumPy or by the engine: each layer in a net makes what it makes of the array alone."""
    x, y = table()
    model = net(x, y)
    nodes = [node for node in model.nodes if node.inputs[0].name in x]
    outputs = fnn.Model(model.inputs, [node.output for node in nodes]).predict(x)
    assert [type(node.layer).__name__ for node in nodes].count("Rescaling") == 1 and len(nodes) == 5
    for node, output in zip(nodes, outputs, strict=True):
        given = np.asarray(x[node.inputs[0].name]).reshape(len(y), -1)
        np.testing.assert_allclose(output, node.layer(given), rtol=1e-6, err_msg=node.layer.name)


def test_sequential_begins_with_a_lookup_and_is_built_from_data() -> None:
    x = COLORS[np.random.default_rng(0).integers(0, 4, 60)][:, None]
    y = (x[:, 0] == "blue").astype(np.float32)
    lookup = layers.StringLookup(output_mode="multi_hot")
    lookup.adapt(x)
    model = fnn.Sequential([lookup, layers.Dense(1, "sigmoid")])
    model.compile(fnn.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=30, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1.0
    np.testing.assert_array_equal(model.predict(x.astype(object)), model.predict(x))
    batches = [(x[:30], y[:30]), (x[30:], y[30:])]
    model.fit(batches, epochs=1, verbose=0)


def test_layers_in_a_row_before_the_engine() -> None:
    """Rescaling and Normalization are done in NumPy where bins are made of them."""
    x = np.random.default_rng(0).normal(50, 9, (40, 1))
    normal = layers.Normalization()
    normal.adapt(x)
    bins = layers.Discretization([-1.0, 0.0, 1.0])
    encoding = layers.CategoryEncoding(4, "one_hot")
    inputs = layers.Input((1,))
    middle = normal(inputs)
    outputs = [encoding(bins(middle)), layers.Dense(1)(middle)]
    model = fnn.Model(inputs, outputs)
    hot, dense = model.predict(x)
    np.testing.assert_array_equal(hot, np.eye(4)[bins(normal(x))[:, 0]])
    kernel, bias = outputs[1].node.layer.get_weights()
    np.testing.assert_allclose(dense, normal(x) @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_settings_that_change_are_in_the_next_prediction() -> None:
    layer = layers.Normalization()
    layer.adapt(np.array([[0.0], [2.0]]))
    model = fnn.Sequential([layers.Input((1,)), layer])
    x = np.array([[5.0]], np.float32)
    np.testing.assert_allclose(model.predict(x), 4.0)
    layer.adapt(np.array([[0.0], [4.0]]))
    np.testing.assert_allclose(model.predict(x), 1.5)
    lookup = layers.IntegerLookup()
    lookup.adapt([4, 4, 7])
    model = fnn.Sequential([layers.Input((1,)), lookup])
    assert model.predict([[7]]).item() == 2
    lookup.adapt([4, 7, 7])
    assert model.predict([[7]]).item() == 1


def test_normalization_passes_the_gradient_on() -> None:
    """Finite differences of a loss by the weights below it."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(7, 2)).astype(np.float32)
    unit = layers.Normalization(mean=[5.0, -1.0], variance=[4.0, 0.25], invert=True)
    model = fnn.Sequential([layers.Input((3,)), layers.Dense(2), unit])
    model.compile(fnn.optimizers.SGD(1e-3), "mse")
    kernel, bias = (w.astype(np.float64) for w in model.layers[0].get_weights())

    def loss(kernel: np.ndarray) -> float:
        out = (x @ kernel + bias) * np.array([2.0, 0.5]) + np.array([5.0, -1.0])
        return float(((out - y) ** 2).mean())

    model.train_on_batch(x, y)
    step = (kernel - model.layers[0].get_weights()[0]) / 1e-3
    for at in np.ndindex(3, 2):
        shift = np.zeros((3, 2))
        shift[at] = 1e-4
        slope = (loss(kernel + shift) - loss(kernel - shift)) / 2e-4
        assert abs(step[at] - slope) < 1e-3 * max(1, abs(slope))


def test_the_document_s_net(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parent.parent / "docs" / "tables.md"
    if not path.is_file():
        pytest.skip("no documents beside this package")
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    table_, y = table()
    names: dict[str, Any] = {"x": {name: table_[name] for name in ("color", "size")}, "y": y}
    exec("".join(blocks), names)
    assert names["report"].verdict in ("healthy", "impaired")
    assert names["model"].predict(names["x"]).shape == (len(y), 1)


def test_a_target_in_its_own_unit_is_learned_as_the_standardized_one(tmp_path: Path) -> None:
    """With the loss divided by the variance: the same gradients, but for rounding."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    y = 5000.0 + 300.0 * np.stack([x.sum(axis=1), np.sin(3 * x[:, 0])], axis=1)
    unit = layers.Normalization(axis=None, invert=True)
    unit.adapt(y)
    mean, deviation = float(unit.mean[0]), float(np.sqrt(unit.variance[0]))
    assert mean == pytest.approx(y.mean()) and deviation == pytest.approx(y.std())

    def trained(target: np.ndarray, *ending: layers.Layer, **settings: Any) -> fnn.Sequential:
        fnn.utils.set_random_seed(2)
        model = fnn.Sequential(
            [layers.Input((4,)), layers.Dense(9, "tanh"), layers.Dense(2), *ending]
        )
        model.compile(fnn.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"], **settings)
        model.fit(x, target, epochs=5, batch_size=50, shuffle=False, verbose=0)
        return model

    own = trained(y, unit, loss_weights=[1 / deviation**2])
    standardized = trained((y - mean) / deviation)
    predicted = standardized.predict(x) * deviation + mean
    np.testing.assert_allclose(own.predict(x), predicted, rtol=1e-4)
    assert own.evaluate(x, y, verbose=0)[1] == pytest.approx(np.abs(predicted - y).mean(), rel=1e-3)
    own.save(tmp_path / "m.safetensors")
    loaded = fnn.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), own.predict(x))


def test_health_knows_what_standardizes() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5e3, 300.0, (400, 3))
    y = 1e4 + 500.0 * (x[:, 0] > 5e3)
    first, last = layers.Normalization(), layers.Normalization(axis=None, invert=True)
    first.adapt(x)
    last.adapt(y)
    hidden = [layers.Dense(16, "relu"), layers.Dense(1)]
    model = fnn.Sequential([layers.Input((3,)), first, *hidden, last])
    model.compile("adam", "mse", loss_weights=[1 / float(last.variance[0])])
    report = fnn.health.diagnose(model, x, y)
    assert report.verdict == "healthy", str(report)
    with pytest.raises(TypeError, match="diagnose: x must hold numbers, got texts"):
        lookup = layers.StringLookup(vocabulary=["a"], output_mode="one_hot")
        net = fnn.Sequential([layers.Input((1,)), lookup, layers.Dense(1)])
        net.compile("adam", "mse")
        fnn.health.diagnose(net, np.array([["a"], ["b"]] * 100), np.arange(200.0))


def test_a_replay_has_no_layers_before_the_engine(tmp_path: Path) -> None:
    model = fnn.Sequential([layers.Input((1,)), layers.Discretization([0.0]), layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(
        ValueError, match=r"save_replay: layer 'discretization.*' works on the data"
    ):
        fnn.health.save_replay(
            tmp_path / "r.safetensors", model, x=np.ones((2, 1)), y=np.ones((2, 1))
        )


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: layers.StringLookup(output_mode="tf_idf", vocabulary=["a"]),
            ValueError,
            "for output_mode 'tf_idf' takes idf_weights",
        ),
        (
            lambda: layers.StringLookup(vocabulary=["a"], idf_weights=[1.0]),
            ValueError,
            "idf_weights are for output_mode 'tf_idf', not 'int'",
        ),
        (
            lambda: layers.IntegerLookup(
                output_mode="tf_idf", vocabulary=[4, 2], idf_weights=[1.0, 2.0, 3.0]
            ),
            ValueError,
            r"one for each of the 2 tokens, got shape \(3,\)",
        ),
        (
            lambda: layers.StringLookup(output_mode="tf_idf", idf_weights=[1.0]),
            ValueError,
            "those of a vocabulary",
        ),
        (
            lambda: layers.StringLookup(output_mode="tf_idf").adapt(np.full((2, 2, 2), "a")),
            ValueError,
            r"'tf_idf' takes data \(N, k\), got \(2, 2, 2\)",
        ),
        (lambda: layers.StringLookup(salt=[1, 2, 3]), ValueError, "one integer or two"),
        (lambda: layers.StringLookup(salt="a"), TypeError, "salt must be an integer"),
        (lambda: layers.IntegerLookup(salt=1), ValueError, "salt takes oov_method 'farmhash'"),
        (lambda: layers.IntegerLookup(oov_method="fnv"), ValueError, "oov_method must be"),
        (lambda: layers.StringLookup(sparse=True), ValueError, "sparse must be False, got True"),
        (lambda: layers.StringLookup(vocabulary=["a", "a"]), ValueError, r"several \['a'\]"),
        (lambda: layers.StringLookup(vocabulary=[1]), TypeError, "tokens must be strings, got 1"),
        (lambda: layers.StringLookup(vocabulary=[]), ValueError, "must have tokens"),
        (
            lambda: layers.StringLookup(max_tokens=2, vocabulary=["a", "b"]),
            ValueError,
            "max_tokens is 2, got a vocabulary of 3",
        ),
        (
            lambda: layers.StringLookup(mask_token="m", vocabulary=["a", "m"]),
            ValueError,
            "mask token 'm' may stand",
        ),
        (
            lambda: layers.StringLookup(invert=True, output_mode="count"),
            ValueError,
            "invert takes output_mode 'int', got 'count'",
        ),
        (lambda: layers.StringLookup(pad_to_max_tokens=True), ValueError, "takes max_tokens"),
        (lambda: layers.StringLookup()(["a"]), ValueError, "no vocabulary yet: call adapt"),
        (
            lambda: layers.StringLookup(vocabulary=["a"]).adapt(["b"]),
            ValueError,
            "was given its vocabulary",
        ),
        (
            lambda: layers.StringLookup(vocabulary=["a"])([1]),
            TypeError,
            "takes strings, got an array",
        ),
        (
            lambda: layers.StringLookup(vocabulary=["a"])([["a"], [None]]),
            ValueError,
            "got None in row 1: put a token",
        ),
        (
            lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)([["a"], ["b"]]),
            ValueError,
            "got 'b' in row 1",
        ),
        (lambda: layers.StringLookup().adapt([]), ValueError, "data is empty"),
        (lambda: layers.StringLookup().adapt(5), TypeError, "an array or an iterable"),
        (lambda: layers.IntegerLookup(vocabulary=[1])([1.5]), ValueError, "got 1.5 in row 0"),
        (lambda: layers.IntegerLookup(vocabulary=[1])(["a"]), TypeError, "takes integers, got"),
        (lambda: layers.IntegerLookup(vocabulary=["a"]), TypeError, "must be an integer, got 'a'"),
        (lambda: layers.CategoryEncoding(3)([[0], [3]]), ValueError, "within 0..2, got 3 in row 1"),
        (lambda: layers.CategoryEncoding(3)([[0.5]]), ValueError, "within 0..2, got 0.5 in row 0"),
        (lambda: layers.CategoryEncoding(3)([[-1]]), ValueError, "within 0..2, got -1"),
        (
            lambda: layers.CategoryEncoding(0),
            ValueError,
            "num_tokens must be an integer >= 1, got 0",
        ),
        (lambda: layers.Discretization(), ValueError, "either bin_boundaries or num_bins"),
        (lambda: layers.Discretization([2.0, 1.0]), ValueError, "must ascend"),
        (lambda: layers.Discretization(num_bins=3)([1.0]), ValueError, "no bin_boundaries yet"),
        (
            lambda: layers.Discretization([1.0])([[1.0], [np.nan]]),
            ValueError,
            "finite numbers, got nan in row 1",
        ),
        (lambda: layers.Discretization([1.0]).adapt([1.0]), ValueError, "was given its bin_bound"),
        (lambda: layers.Normalization(mean=1.0), ValueError, "give both mean and variance"),
        (lambda: layers.Normalization(mean=1.0, variance=-1.0), ValueError, "must not be negative"),
        (lambda: layers.Normalization()(np.ones((2, 3))), ValueError, "no mean and variance yet"),
        (
            lambda: layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0])(np.ones((2, 3))),
            ValueError,
            r"mean of shape \(2,\) does not suit",
        ),
        (lambda: layers.Normalization().adapt([[np.inf]]), ValueError, "got inf in row 0"),
        (lambda: layers.Normalization().adapt([["a"]]), TypeError, "takes real numbers"),
        (lambda: layers.Normalization(axis=0).adapt([[1.0]]), ValueError, "axis 0 must be one of"),
        (lambda: layers.Input((1,), dtype="text"), ValueError, "dtype must be one of"),
    ],
)
def test_what_is_wrong_is_said(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_what_is_wrong_in_a_model_is_said() -> None:
    with pytest.raises(ValueError, match="has no vocabulary yet"):
        layers.StringLookup(output_mode="one_hot")(layers.Input((1,)))
    with pytest.raises(ValueError, match="invert makes tokens"):
        layers.StringLookup(vocabulary=["a"], invert=True)(layers.Input((1,)))
    inputs = layers.Input((3,))
    model = fnn.Model(
        inputs, layers.Discretization([0.0], name="bins")(layers.Dense(2, name="d")(inputs))
    )
    with pytest.raises(ValueError, match=r"'bins' \(Discretization\) .* after layer 'd' \(Dense\)"):
        model.predict(np.ones((2, 3)))
    lookup = layers.StringLookup(vocabulary=["a"], output_mode="one_hot")
    model = fnn.Sequential([layers.Input((1,)), lookup, layers.Dense(1)])
    with pytest.raises(ValueError, match="is in a model, with 2 tokens"):
        lookup.set_vocabulary(["a", "b"])
    with pytest.raises(ValueError, match=r"x must have shape \(N, 1\), got \(2, 2\)"):
        model.predict([["a", "a"], ["a", "a"]])
    with pytest.raises(TypeError, match="takes strings, got an array of dtype int"):
        model.predict([[1]])
    bins = layers.Discretization(num_bins=4, output_mode="one_hot")
    bins(layers.Input((1,)))
    with pytest.raises(ValueError, match="is in a model, with 4 bins"):
        bins.adapt([1.0])
