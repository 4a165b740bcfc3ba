"""Any integers as those from 0 on, by a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_choice, check_integer
from fastnn.layers.lookup import IndexLookup, Token
from fastnn.preprocessing.farmhash import fingerprint64
from fastnn.preprocessing.siphash import siphash


class IntegerLookup(IndexLookup):
    """Any integers as those from 0 on, by a vocabulary.

    In this order: the mask token, if there is one and ``output_mode`` is "int", which is 0;
    ``num_oov_indices`` for what is not in the vocabulary; the vocabulary.

    Args:
        max_tokens: The most that ``adapt`` learns, special tokens included.
        num_oov_indices: For unknown integers, by ``oov_method``. With 0, an unknown integer is a
            ValueError.
        mask_token: Stands for no value.
        oov_token: Stands for unknown integers, in ``get_vocabulary`` and with ``invert``.
        vocabulary: Instead of ``adapt``: integers, or the path of a text file, one in each line.
        vocabulary_dtype: "int64".
        idf_weights: Of a given vocabulary, for "tf_idf": see ``set_vocabulary``.
        invert: Indices to integers; only for arrays, such as what a model predicts.
        output_mode: "int", or how :class:`CategoryEncoding` shows the integers: "one_hot",
            "multi_hot" or "count". A mask counts for nothing there. "tf_idf" is "count" times the
            weight of each token, which is the larger the fewer documents have it.
        sparse: False.
        pad_to_max_tokens: max_tokens columns, even if the vocabulary has less.
        oov_method: How unknown integers get one of several indices: "floormod", by their remainder,
            or "farmhash", by FarmHash of their digits.
        salt: With "farmhash", an integer or two: by SipHash with this key instead.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Sequence[int] | ArrayLike | str | None = None,
        vocabulary_dtype: str = "int64",
        idf_weights: ArrayLike | None = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: int | Sequence[int] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = "IntegerLookup"
        self.oov_method = check_choice(owner, "oov_method", oov_method, ("floormod", "farmhash"))
        if salt is not None and oov_method != "farmhash":
            raise ValueError(f"{owner}: salt takes oov_method 'farmhash', got {oov_method!r}")
        check_choice("IntegerLookup", "vocabulary_dtype", vocabulary_dtype, ("int64",))
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights,
            invert, output_mode, pad_to_max_tokens, sparse, salt, name, trainable,
        )  # fmt: skip

    def _as_token(self, value: Any) -> int:
        return check_integer("IntegerLookup", "every token", value)

    def _parsed(self, line: str) -> Any:
        try:
            return int(line)
        except ValueError:
            return line

    def _tokens_of(self, x: NDArray[Any]) -> list[Token]:
        owner = f"layer {self.name!r}"
        if x.dtype.kind not in "biuf":
            raise TypeError(f"{owner} takes integers, got an array of dtype {x.dtype}")
        if x.dtype.kind == "f":
            wrong = ~np.isfinite(x) | (x != np.floor(x))
            if wrong.any():
                row = np.argwhere(wrong)[0][0] if x.ndim else 0
                raise ValueError(f"{owner} takes integers, got {x[wrong][0]} in row {row}")
        return [*x.astype(np.int64).ravel().tolist()]

    def _bucket(self, token: Token) -> int:
        if self.oov_method == "floormod":
            return int(token) % self.num_oov_indices
        text = str(token).encode()
        found = fingerprint64(text) if self.salt is None else siphash(self.salt, text)
        return found % self.num_oov_indices

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "oov_method": self.oov_method}
