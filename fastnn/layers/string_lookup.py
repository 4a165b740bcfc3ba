"""Strings as the numbers of a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastnn.layers.lookup import IndexLookup, Token
from fastnn.preprocessing.farmhash import fingerprint64
from fastnn.preprocessing.siphash import siphash


class StringLookup(IndexLookup):
    """Strings as integers, by a vocabulary.

    ::

        lookup = layers.StringLookup()
        lookup.adapt(["red", "green", "red"])
        lookup(["green", "red", "blue"])  # array([2, 1, 0])
        lookup.get_vocabulary()  # ["[UNK]", "red", "green"]

    In this order: the mask token, if there is one and ``output_mode`` is "int", which is 0;
    ``num_oov_indices`` for what is not in the vocabulary; the vocabulary.

    Args:
        max_tokens: The most that ``adapt`` learns, special tokens included.
        num_oov_indices: For unknown strings, in buckets by FarmHash as in Keras. With 0, an
            unknown string is a ValueError.
        mask_token: Stands for no value.
        oov_token: Stands for unknown strings, in ``get_vocabulary`` and with ``invert``.
        vocabulary: Instead of ``adapt``: strings, or the path of a text file, one in each line.
        idf_weights: Of a given vocabulary, for "tf_idf": see ``set_vocabulary``.
        invert: Integers to strings; only for arrays, such as what a model predicts.
        output_mode: "int", or how :class:`CategoryEncoding` shows the integers: "one_hot",
            "multi_hot" or "count". A mask counts for nothing there. "tf_idf" is "count" times the
            weight of each token, which is the larger the fewer documents have it.
        pad_to_max_tokens: max_tokens columns, even if the vocabulary has less.
        sparse: False.
        encoding: Of bytes.
        salt: An integer or two: the buckets are those of SipHash with this key.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Sequence[str] | ArrayLike | str | None = None,
        idf_weights: ArrayLike | None = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        *,
        name: str | None = None,
        salt: int | Sequence[int] | None = None,
        trainable: bool = True,
    ) -> None:
        self.encoding = encoding
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights,
            invert, output_mode, pad_to_max_tokens, sparse, salt, name, trainable,
        )  # fmt: skip

    def _as_token(self, value: Any) -> str:
        if isinstance(value, bytes):
            return value.decode(self.encoding)
        if not isinstance(value, str):
            raise TypeError(f"StringLookup: tokens must be strings, got {value!r:.80}")
        return str(value)

    def _tokens_of(self, x: NDArray[Any]) -> list[Token]:
        if x.dtype.kind not in "OUST":
            raise TypeError(
                f"layer {self.name!r} takes strings, got an array of dtype {x.dtype}: "
                "layers.IntegerLookup takes integers"
            )
        tokens = x.ravel().tolist()
        if x.dtype.kind == "U":
            return list(tokens)
        for number, token in enumerate(tokens):
            if type(token) is not str:
                if isinstance(token, (str, bytes)):
                    tokens[number] = self._as_token(token)
                else:
                    row = number * len(x) // len(tokens) if x.ndim else 0
                    missing = token is None or token != token or str(token) in ("<NA>", "NaT")
                    raise (ValueError if missing else TypeError)(
                        f"layer {self.name!r} takes strings, got {token!r} in row {row}"
                        + (": put a token of its own in the place of missing values" * missing)
                    )
        return list(tokens)

    def _bucket(self, token: Token) -> int:
        text = str(token).encode("utf-8")
        found = fingerprint64(text) if self.salt is None else siphash(self.salt, text)
        return found % self.num_oov_indices

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoding": self.encoding}
