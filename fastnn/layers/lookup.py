"""Strings, or any integers, as the numbers of a vocabulary."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_choice, check_flag, check_integer
from fastnn.graph import Shape
from fastnn.layers.adapting import batches_of
from fastnn.layers.category_encoding import check_not_sparse, shape_of_encoding
from fastnn.layers.preprocessing import PreprocessingLayer
from fastnn.preprocessing.encoding import MODES, encode
from fastnn.preprocessing.farmhash import fingerprint64

if TYPE_CHECKING:
    from typing_extensions import Self

Token = str | int

_TF_IDF = (
    "output_mode 'tf_idf' is not there: weigh the columns of 'count' yourself, "
    "or use scikit-learn's TfidfVectorizer"
)


class IndexLookup(PreprocessingLayer):
    """Base: tokens as their places in a vocabulary.

    In this order: the mask token, if there is one and ``output_mode`` is "int", which is 0;
    ``num_oov_indices`` for what is not in the vocabulary; the vocabulary.
    """

    on_host = True

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Token | None,
        oov_token: Token,
        vocabulary: Any,
        invert: bool,
        output_mode: str,
        pad_to_max_tokens: bool,
        sparse: bool,
        name: str | None,
        trainable: bool,
    ) -> None:
        owner = type(self).__name__
        if output_mode == "tf_idf":
            raise ValueError(f"{owner}: {_TF_IDF}")
        self.output_mode = check_choice(owner, "output_mode", output_mode, ("int", *MODES))
        self.invert = check_flag(owner, "invert", invert)
        if invert and output_mode != "int":
            raise ValueError(f"{owner}: invert takes output_mode 'int', got {output_mode!r}")
        self.num_oov_indices = check_integer(owner, "num_oov_indices", num_oov_indices, at_least=0)
        self.max_tokens = max_tokens
        if max_tokens is not None:
            self.max_tokens = check_integer(owner, "max_tokens", max_tokens, at_least=2)
        self.pad_to_max_tokens = check_flag(owner, "pad_to_max_tokens", pad_to_max_tokens)
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"{owner}: pad_to_max_tokens takes max_tokens, too")
        check_not_sparse(owner, sparse)
        self.mask_token = None if mask_token is None else self._as_token(mask_token)
        self.oov_token = self._as_token(oov_token)
        self._tokens: list[Token] = []
        self._places: dict[Token, int] = {}
        super().__init__(name=name, trainable=trainable)
        self._was_given = vocabulary is not None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)

    # The vocabulary

    @abstractmethod
    def _as_token(self, value: Any) -> Token:
        """``value`` as a token; TypeError if it is none."""

    @abstractmethod
    def _tokens_of(self, x: NDArray[Any]) -> list[Token]:
        """An array's tokens, in C order; TypeError or ValueError if one is none."""

    @abstractmethod
    def _bucket(self, token: Token) -> int:
        """Which of the ``num_oov_indices`` a token of no vocabulary gets."""

    @property
    def _first_oov(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _first_token(self) -> int:
        return self._first_oov + self.num_oov_indices

    def vocabulary_size(self) -> int:
        """The number of indices, those for the mask and for unknown tokens included."""
        return self._first_token + len(self._tokens)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their indices; those that stand for the mask and for what is
        unknown first, or left out."""
        if not include_special_tokens:
            return list(self._tokens)
        mask = [self.mask_token] * self._first_oov
        return [*mask, *[self.oov_token] * self.num_oov_indices, *self._tokens]

    def set_vocabulary(self, vocabulary: Sequence[Token] | ArrayLike | str) -> None:
        """Take these tokens.

        Args:
            vocabulary: The tokens, with or without the special ones in front; or the path of a
                text file that has one in each line.

        Raises:
            TypeError, ValueError: There is none, one twice, the mask among them, or more than
                ``max_tokens``; or the layer is in a model that knows another number of them.
        """
        if isinstance(vocabulary, (str, os.PathLike)):
            lines = Path(vocabulary).read_text(encoding="utf-8").splitlines()
            tokens = [self._as_token(self._parsed(line)) for line in lines]
        else:
            tokens = [self._as_token(each) for each in np.asarray(vocabulary, object).tolist()]
        owner = f"layer {self.name!r}"
        special = [self.mask_token] * self._first_oov + [self.oov_token] * self.num_oov_indices
        if tokens[: len(special)] == special:
            tokens = tokens[len(special) :]
        if not tokens:
            raise ValueError(f"{owner}: a vocabulary must have tokens, got {vocabulary!r:.80}")
        twice = [token for token, count in Counter(tokens).items() if count > 1]
        if twice:
            raise ValueError(f"{owner}: a vocabulary has each token once, got several {twice[:5]}")
        if self.mask_token is not None and self.mask_token in tokens:
            raise ValueError(
                f"{owner}: the mask token {self.mask_token!r} may stand in a vocabulary only in "
                f"front, as {special}"
            )
        if self.invert and self.oov_token in tokens:
            raise ValueError(
                f"{owner}: the token for unknown ones, {self.oov_token!r}, may stand in a "
                f"vocabulary only in front, as {special}"
            )
        self._take(tokens)

    def _parsed(self, line: str) -> Any:
        return line

    def _take(self, tokens: list[Token]) -> None:
        owner, size = f"layer {self.name!r}", self._first_token + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"{owner}: max_tokens is {self.max_tokens}, got a vocabulary of {size} with its "
                "special tokens"
            )
        fixed = self.output_mode != "int" and not self.pad_to_max_tokens
        if self.built and fixed and size != self.vocabulary_size():
            raise ValueError(
                f"{owner} is in a model, with {self.vocabulary_size()} tokens, so it can't have "
                f"{size}: adapt it before, or set pad_to_max_tokens"
            )
        self._tokens = tokens
        self._places = {token: self._first_token + i for i, token in enumerate(tokens)}

    def adapt(self, data: ArrayLike | Iterable[ArrayLike], steps: int | None = None) -> None:
        """Learn the vocabulary: the tokens of the data, the most frequent first, of equally
        frequent ones the last in the order of the alphabet, as Keras has it.

        Args:
            data: An array or table of any shape, or an iterable of such batches.
            steps: So many batches of an iterable at most.

        Raises:
            TypeError, ValueError: A value is no token or is missing, or as ``set_vocabulary``; or
                the vocabulary was given.
        """
        if self._was_given:
            raise ValueError(f"layer {self.name!r} was given its vocabulary")
        counts: Counter[Token] = Counter()
        for batch in batches_of(data, f"layer {self.name!r}: data", steps):
            counts.update(self._tokens_of(batch))
        for special in (self.mask_token, self.oov_token):
            if special is not None:
                counts.pop(special, None)
        order = sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True)
        most = None if self.max_tokens is None else max(0, self.max_tokens - self._first_token)
        self._take([token for token, _ in order[:most]])

    # Its use

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.invert:
            raise ValueError(
                f"layer {self.name!r}: invert makes tokens, which are no numbers: call it on what "
                "a model predicts"
            )
        if self.output_mode == "int":
            return input_shape
        return shape_of_encoding(self.name, input_shape, self.output_mode, self._depth())

    def _depth(self) -> int:
        if self.pad_to_max_tokens:
            assert self.max_tokens is not None
            return self.max_tokens
        self._check_knows()
        return self.vocabulary_size()

    def _check_knows(self) -> None:
        if not self._tokens:
            raise ValueError(
                f"layer {self.name!r} has no vocabulary yet: call adapt(data), or give it one"
            )

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """int64 indices; uint8 of zeros and ones; float32 of counts; or, if ``invert``, tokens."""
        self._check_knows()
        if self.invert:
            return self._inverted(x)
        found = self._indices(x)
        if self.output_mode == "int":
            return found
        return encode(f"layer {self.name!r}", found, self.output_mode, self._depth())

    def _indices(self, x: NDArray[Any]) -> NDArray[np.int64]:
        tokens, places = self._tokens_of(x), self._places
        found = np.fromiter((places.get(token, -1) for token in tokens), np.int64, len(tokens))
        unknown = np.flatnonzero(found < 0)
        for number in unknown:
            token = tokens[number]
            if token == self.mask_token:
                # Elsewhere it counts for nothing.
                found[number] = 0 if self.output_mode == "int" else -1
            elif self.num_oov_indices == 0:
                row = number * len(x) // len(tokens) if x.ndim else 0
                raise ValueError(
                    f"layer {self.name!r} has no index for what is not in its vocabulary "
                    f"(num_oov_indices is 0), got {token!r} in row {row}"
                )
            else:
                bucket = self._bucket(token) if self.num_oov_indices > 1 else 0
                found[number] = self._first_oov + bucket
        return found.reshape(x.shape)

    def _inverted(self, x: NDArray[Any]) -> NDArray[Any]:
        if x.dtype.kind not in "iub":
            raise TypeError(f"layer {self.name!r} takes integers, got an array of dtype {x.dtype}")
        known = self.get_vocabulary()
        tokens = [known[i] if 0 <= i < len(known) else self.oov_token for i in x.ravel().tolist()]
        made = np.empty(len(tokens), object if isinstance(self.oov_token, str) else np.int64)
        made[:] = tokens
        return made.reshape(x.shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "mask_token": self.mask_token,
            "oov_token": self.oov_token,
            "vocabulary": list(self._tokens) or None,
            "has_input_vocabulary": self._was_given,
            "invert": self.invert,
            "output_mode": self.output_mode,
            "pad_to_max_tokens": self.pad_to_max_tokens,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """What ``get_config`` gave, with what was learned. It reads no file."""
        config = dict(config)
        given = check_flag(
            cls.__name__, "has_input_vocabulary", config.pop("has_input_vocabulary", True)
        )
        tokens = config.pop("vocabulary", None)
        if tokens is not None and not isinstance(tokens, list):
            raise ValueError(f"{cls.__name__}: 'vocabulary' must be a list, got {tokens!r:.80}")
        layer = cls(**config)
        if tokens is not None:
            layer.set_vocabulary(tokens)
            layer._was_given = given
        return layer


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
        idf_weights: None; "tf_idf" is not there.
        invert: Integers to strings; only for arrays, such as what a model predicts.
        output_mode: "int", or how :class:`CategoryEncoding` shows the integers: "one_hot",
            "multi_hot" or "count". A mask counts for nothing there.
        pad_to_max_tokens: max_tokens columns, even if the vocabulary has less.
        sparse: False.
        encoding: Of bytes.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Sequence[str] | ArrayLike | str | None = None,
        idf_weights: None = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        if idf_weights is not None:
            raise ValueError(f"StringLookup: {_TF_IDF}")
        self.encoding = encoding
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, invert, output_mode,
            pad_to_max_tokens, sparse, name, trainable,
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
        return fingerprint64(str(token).encode("utf-8")) % self.num_oov_indices

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoding": self.encoding}


class IntegerLookup(IndexLookup):
    """Any integers as those from 0 on, by a vocabulary.

    In this order: the mask token, if there is one and ``output_mode`` is "int", which is 0;
    ``num_oov_indices`` for what is not in the vocabulary; the vocabulary.

    Args:
        max_tokens: The most that ``adapt`` learns, special tokens included.
        num_oov_indices: For unknown integers, by their remainder. With 0, an unknown integer is a
            ValueError.
        mask_token: Stands for no value.
        oov_token: Stands for unknown integers, in ``get_vocabulary`` and with ``invert``.
        vocabulary: Instead of ``adapt``: integers, or the path of a text file, one in each line.
        vocabulary_dtype: "int64".
        idf_weights: None; "tf_idf" is not there.
        invert: Indices to integers; only for arrays, such as what a model predicts.
        output_mode: "int", or how :class:`CategoryEncoding` shows the integers: "one_hot",
            "multi_hot" or "count". A mask counts for nothing there.
        sparse: False.
        pad_to_max_tokens: max_tokens columns, even if the vocabulary has less.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Sequence[int] | ArrayLike | str | None = None,
        vocabulary_dtype: str = "int64",
        idf_weights: None = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        if idf_weights is not None:
            raise ValueError(f"IntegerLookup: {_TF_IDF}")
        check_choice("IntegerLookup", "vocabulary_dtype", vocabulary_dtype, ("int64",))
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, invert, output_mode,
            pad_to_max_tokens, sparse, name, trainable,
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
        return int(token) % self.num_oov_indices
