"""Cases of the layers that prepare data, run on Keras and on fastnn alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

COLORS = ["red", "green", "blue", "red", "", "green", "red", "ärger", "zoo", "blue"]
UNSEEN = [
    "blue",
    "red",
    "mauve",
    "",
    "[UNK]",
    "a rather long text of more than sixty-four bytes, " * 2,
]
DOCUMENTS = [["red", "red", "green"], ["blue", "red", ""], ["red", "zoo", "zoo"]]
NUMBERS = [12, -3, 7, 12, 12, 7, 0, 2**40]


class Case(NamedTuple):
    """A layer, what it learns from, what it is called on."""

    layer: str
    settings: dict[str, Any]
    data: Any
    x: Any


def _reals(*shape: int, seed: int = 0) -> list:
    values = np.random.default_rng(seed).normal(3.0, 2.0, shape)
    return (np.round(values * 64) / 64).tolist()


CASES = {
    "string": Case("StringLookup", {}, COLORS, UNSEEN),
    "string-mask": Case("StringLookup", {"mask_token": ""}, COLORS, UNSEEN),
    "string-most": Case("StringLookup", {"max_tokens": 4}, COLORS, UNSEEN),
    "string-oov": Case("StringLookup", {"num_oov_indices": 5}, COLORS, UNSEEN),
    "string-matrix": Case("StringLookup", {}, COLORS, [UNSEEN[:3], UNSEEN[3:]]),
    "string-given": Case("StringLookup", {"vocabulary": ["b", "a"]}, None, ["a", "b", "c"]),
    "string-one-hot": Case("StringLookup", {"output_mode": "one_hot"}, COLORS, UNSEEN),
    "string-multi-hot": Case(
        "StringLookup", {"output_mode": "multi_hot", "mask_token": ""}, COLORS, [UNSEEN, COLORS[:6]]
    ),
    "string-count": Case(
        "StringLookup", {"output_mode": "count", "mask_token": ""}, COLORS, [UNSEEN, COLORS[:6]]
    ),
    "string-padded": Case(
        "StringLookup",
        {"output_mode": "multi_hot", "max_tokens": 20, "pad_to_max_tokens": True},
        COLORS,
        [UNSEEN, COLORS[:6]],
    ),
    "string-invert": Case(
        "StringLookup",
        {"vocabulary": ["b", "a"], "invert": True, "mask_token": ""},
        None,
        [0, 1, 2, 3],
    ),
    "integer": Case("IntegerLookup", {}, NUMBERS, [7, 12, 5, -3, 2**40]),
    "integer-mask": Case("IntegerLookup", {"mask_token": 0}, NUMBERS, [7, 0, 5, -3]),
    "integer-oov": Case("IntegerLookup", {"num_oov_indices": 3}, NUMBERS, [7, 5, -4, 11, -5, 6]),
    "integer-one-hot": Case(
        "IntegerLookup", {"output_mode": "one_hot"}, NUMBERS, [[7], [12], [5], [0]]
    ),
    "integer-given": Case("IntegerLookup", {"vocabulary": [4, 2]}, None, [2, 4, 6]),
    "integer-invert": Case(
        "IntegerLookup", {"vocabulary": [4, 2], "invert": True}, None, [0, 1, 2]
    ),
    "string-salt": Case("StringLookup", {"num_oov_indices": 7, "salt": 133}, COLORS, UNSEEN),
    "string-salts": Case("StringLookup", {"num_oov_indices": 7, "salt": [133, 9]}, COLORS, UNSEEN),
    "string-tf-idf": Case(
        "StringLookup",
        {"output_mode": "tf_idf", "mask_token": "", "num_oov_indices": 2},
        DOCUMENTS,
        [UNSEEN, COLORS[:6]],
    ),
    "string-tf-idf-singles": Case(
        "StringLookup", {"output_mode": "tf_idf", "max_tokens": 4}, COLORS, [UNSEEN, COLORS[:6]]
    ),
    "string-tf-idf-padded": Case(
        "StringLookup",
        {"output_mode": "tf_idf", "max_tokens": 9, "pad_to_max_tokens": True},
        DOCUMENTS,
        [UNSEEN, COLORS[:6]],
    ),
    "integer-tf-idf-given": Case(
        "IntegerLookup",
        {"output_mode": "tf_idf", "vocabulary": [4, 2], "idf_weights": [0.25, 2.0]},
        None,
        [[2, 4, 2], [6, 6, 4]],
    ),
    "integer-tf-idf-all-given": Case(
        "IntegerLookup",
        {"output_mode": "tf_idf", "vocabulary": [-1, 4, 2], "idf_weights": [0.5, 0.25, 2.0]},
        None,
        [[2, 4, 2], [6, 6, 4]],
    ),
    "integer-farmhash": Case(
        "IntegerLookup",
        {"num_oov_indices": 5, "oov_method": "farmhash"},
        NUMBERS,
        [7, 5, -4, 11, -5, 6, 2**50],
    ),
    "integer-salt": Case(
        "IntegerLookup",
        {"num_oov_indices": 5, "oov_method": "farmhash", "salt": [1, 2]},
        NUMBERS,
        [7, 5, -4, 11, -5, 6, 2**50],
    ),
    "category-multi-hot": Case("CategoryEncoding", {"num_tokens": 4}, None, [[0, 1], [3, 3]]),
    "category-count": Case(
        "CategoryEncoding", {"num_tokens": 4, "output_mode": "count"}, None, [[0, 1], [3, 3]]
    ),
    "category-one-hot": Case(
        "CategoryEncoding", {"num_tokens": 4, "output_mode": "one_hot"}, None, [3, 2, 0, 1]
    ),
    "category-one-hot-column": Case(
        "CategoryEncoding", {"num_tokens": 4, "output_mode": "one_hot"}, None, [[3], [2]]
    ),
    "category-one-hot-matrix": Case(
        "CategoryEncoding", {"num_tokens": 4, "output_mode": "one_hot"}, None, [[3, 1], [2, 0]]
    ),
    "bins-given": Case(
        "Discretization", {"bin_boundaries": [0.0, 1.0, 2.5]}, None, [[-1.0, 0.0, 0.5], [1, 3, 2.5]]
    ),
    "bins": Case("Discretization", {"num_bins": 5}, _reals(40), _reals(9, seed=1)),
    "bins-many": Case("Discretization", {"num_bins": 7}, _reals(1003, 2), _reals(9, 2, seed=1)),
    "bins-coarse": Case(
        "Discretization", {"num_bins": 4, "epsilon": 0.1}, _reals(557), _reals(9, seed=1)
    ),
    "bins-few": Case("Discretization", {"num_bins": 10}, _reals(6), _reals(9, seed=1)),
    "bins-one-hot": Case(
        "Discretization", {"num_bins": 4, "output_mode": "one_hot"}, _reals(200), _reals(6, 1)
    ),
    "bins-multi-hot": Case(
        "Discretization", {"num_bins": 4, "output_mode": "multi_hot"}, _reals(200), _reals(6, 3)
    ),
    "bins-count": Case(
        "Discretization", {"num_bins": 4, "output_mode": "count"}, _reals(200), _reals(6, 3)
    ),
    "normal": Case("Normalization", {}, _reals(50, 3), _reals(4, 3, seed=1)),
    "normal-all": Case("Normalization", {"axis": None}, _reals(50, 3), _reals(4, 3, seed=1)),
    "normal-constant": Case(
        "Normalization", {}, [[1.0, 2.0], [1.0, 4.0]], [[1.0, 3.0], [0.0, 2.0]]
    ),
    "normal-axes": Case(
        "Normalization", {"axis": [1, 3]}, _reals(9, 2, 3, 4), _reals(2, 2, 3, 4, seed=1)
    ),
    "normal-middle": Case("Normalization", {"axis": 1}, _reals(9, 2, 3), _reals(2, 2, 3, seed=1)),
    "normal-invert": Case("Normalization", {"invert": True}, _reals(50, 3), _reals(4, 3, seed=1)),
    "normal-given": Case(
        "Normalization", {"mean": 3.0, "variance": 2.0}, None, _reals(4, 3, seed=1)
    ),
    "rescaling": Case("Rescaling", {"scale": 0.5, "offset": -1.0}, None, _reals(4, 3, seed=1)),
}


def array(value: Any) -> np.ndarray:
    """Texts, integers, or float32."""
    found = np.array(value)
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def run(layers: Any, case: Case) -> dict[str, Any]:
    """What the layer of this library makes of the case."""
    layer = getattr(layers, case.layer)(**case.settings)
    if case.data is not None:
        layer.adapt(array(case.data))
    made = np.asarray(layer(array(case.x)))
    texts = made.dtype.kind in "OSU"
    values = [t.decode() if isinstance(t, bytes) else t for t in made.ravel().tolist()]
    found: dict[str, Any] = {
        "shape": list(made.shape),
        "y": values if texts else made.ravel().tolist(),
    }
    if hasattr(layer, "get_vocabulary"):
        found["vocabulary"] = [t if isinstance(t, str) else int(t) for t in layer.get_vocabulary()]
        found["tokens"] = [
            t if isinstance(t, str) else int(t)
            for t in layer.get_vocabulary(include_special_tokens=False)
        ]
        found["size"] = int(layer.vocabulary_size())
    if case.layer == "Discretization":
        found["boundaries"] = [float(b) for b in layer.bin_boundaries]
    if case.layer == "Normalization":
        found["mean"] = np.ravel(layer.mean).tolist()
        found["variance"] = np.ravel(layer.variance).tolist()
    return found
