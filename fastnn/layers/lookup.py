"""Tokens as their places in a vocabulary."""

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
from fastnn.layers.adapting import batches_of, is_one_batch
from fastnn.layers.category_encoding import check_not_sparse, shape_of_encoding
from fastnn.layers.preprocessing import PreprocessingLayer, as_float32
from fastnn.preprocessing.encoding import MODES, encode

if TYPE_CHECKING:
    from typing_extensions import Self

Token = str | int


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
        idf_weights: Any,
        invert: bool,
        output_mode: str,
        pad_to_max_tokens: bool,
        sparse: bool,
        salt: int | Sequence[int] | None,
        name: str | None,
        trainable: bool,
    ) -> None:
        owner = type(self).__name__
        self.output_mode = check_choice(
            owner, "output_mode", output_mode, ("int", *MODES, "tf_idf")
        )
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
        self.salt = None if salt is None else _pair(owner, salt)
        self._tokens: list[Token] = []
        self._places: dict[Token, int] = {}
        self._idf: NDArray[np.float32] | None = None
        super().__init__(name=name, trainable=trainable)
        self._was_given = vocabulary is not None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            raise ValueError(f"{owner}: idf_weights are those of a vocabulary: give that, too")

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

    def set_vocabulary(
        self,
        vocabulary: Sequence[Token] | ArrayLike | str,
        idf_weights: ArrayLike | None = None,
    ) -> None:
        """Take these tokens.

        Args:
            vocabulary: The tokens, with or without the special ones in front; or the path of a
                text file that has one in each line.
            idf_weights: For "tf_idf" alone, and needed there: the weight of each token, in the
                same order. Special tokens that are not among them get the mean.

        Raises:
            TypeError, ValueError: There is none, one twice, the mask among them, or more than
                ``max_tokens``; or the weights are not as many; or the layer is in a model that
                knows another number of them.
        """
        if isinstance(vocabulary, (str, os.PathLike)):
            lines = Path(vocabulary).read_text(encoding="utf-8").splitlines()
            tokens = [self._as_token(self._parsed(line)) for line in lines]
        else:
            tokens = [self._as_token(each) for each in np.asarray(vocabulary, object).tolist()]
        owner = f"layer {self.name!r}"
        special = [self.mask_token] * self._first_oov + [self.oov_token] * self.num_oov_indices
        idf = self._checked_idf(idf_weights, len(tokens))
        if tokens[: len(special)] == special:
            tokens = tokens[len(special) :]
        elif idf is not None:
            idf = _with_mean(idf, len(special))
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
        self._take(tokens, idf)

    def _checked_idf(self, weights: Any, count: int) -> NDArray[np.float32] | None:
        owner = f"layer {self.name!r}"
        if self.output_mode != "tf_idf":
            if weights is not None:
                raise ValueError(
                    f"{owner}: idf_weights are for output_mode 'tf_idf', not {self.output_mode!r}"
                )
            return None
        if weights is None:
            raise ValueError(f"{owner}: a vocabulary for output_mode 'tf_idf' takes idf_weights")
        idf = as_float32(np.asarray(weights), f"{owner}: idf_weights")
        if idf.shape != (count,):
            raise ValueError(
                f"{owner}: idf_weights must be one for each of the {count} tokens, got shape "
                f"{idf.shape}"
            )
        return idf

    def _parsed(self, line: str) -> Any:
        return line

    def _take(self, tokens: list[Token], idf: NDArray[np.float32] | None) -> None:
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
        self._tokens, self._idf = tokens, idf
        self._places = {token: self._first_token + i for i, token in enumerate(tokens)}

    def adapt(self, data: ArrayLike | Iterable[ArrayLike], steps: int | None = None) -> None:
        """Learn the vocabulary: the tokens of the data, the most frequent first, of equally
        frequent ones the last in the order of the alphabet, as Keras has it.

        For "tf_idf" also the weight of each, ``log(1 + documents / (1 + documents that have it))``,
        and the mean of these for unknown tokens. A document is a row (k,) of (N, k); a single token
        of an array (N,), but all of a batch (k,).

        Args:
            data: An array or table of any shape, or an iterable of such batches.
            steps: So many batches of an iterable at most.

        Raises:
            TypeError, ValueError: A value is no token or is missing, or as ``set_vocabulary``; or
                the vocabulary was given.
        """
        if self._was_given:
            raise ValueError(f"layer {self.name!r} was given its vocabulary")
        owner = f"layer {self.name!r}"
        counts: Counter[Token] = Counter()
        documents: Counter[Token] = Counter()
        n_documents = 0
        whole = is_one_batch(data)
        for batch in batches_of(data, f"{owner}: data", steps):
            tokens = self._tokens_of(batch)
            counts.update(tokens)
            if self.output_mode == "tf_idf":
                if batch.ndim > 2:
                    raise ValueError(f"{owner}: 'tf_idf' takes data (N, k), got {batch.shape}")
                width = len(tokens) if batch.ndim == 1 and not whole else batch[:1].size
                for start in range(0, len(tokens), width):
                    documents.update(set(tokens[start : start + width]))
                n_documents += len(tokens) // width
        for special in (self.mask_token, self.oov_token):
            if special is not None:
                counts.pop(special, None)
        order = sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True)
        most = None if self.max_tokens is None else max(0, self.max_tokens - self._first_token)
        tokens = [token for token, _ in order[:most]]
        idf = None
        if self.output_mode == "tf_idf":
            having = np.array([documents[token] for token in tokens])
            found = np.log(1 + n_documents / (1 + having)).astype(np.float32)
            idf = _with_mean(found, self._first_token)
        self._take(tokens, idf)

    # Its use

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.invert:
            raise ValueError(
                f"layer {self.name!r}: invert makes tokens, which are no numbers: call it on what "
                "a model predicts"
            )
        if self.output_mode == "int":
            return input_shape
        return shape_of_encoding(self.name, input_shape, self._encoding, self._depth())

    @property
    def _encoding(self) -> str:
        return "count" if self.output_mode == "tf_idf" else self.output_mode

    def _depth(self) -> int:
        if self.pad_to_max_tokens:
            assert self.max_tokens is not None
            return self.max_tokens
        self.check_has_vocabulary()
        return self.vocabulary_size()

    @property
    def idf_weights(self) -> NDArray[np.float32] | None:
        """Of "tf_idf", the weight of each column; 0 of those beyond the vocabulary."""
        if self._idf is None:
            return None
        return np.pad(self._idf, (0, self._depth() - len(self._idf)))

    def check_has_vocabulary(self) -> None:
        """ValueError before ``adapt``, if no vocabulary was given."""
        if not self._tokens:
            raise ValueError(
                f"layer {self.name!r} has no vocabulary yet: call adapt(data), or give it one"
            )

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """int64 indices; uint8 of zeros and ones; float32 of counts, weighted or not; or, if
        ``invert``, tokens."""
        self.check_has_vocabulary()
        if self.invert:
            return self._inverted(x)
        found = self._indices(x)
        if self.output_mode == "int":
            return found
        made: NDArray[Any] = encode(f"layer {self.name!r}", found, self._encoding, self._depth())
        weights = self.idf_weights
        return made if weights is None else made * weights

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
            "idf_weights": None if self._idf is None else self._idf.tolist(),
            "salt": None if self.salt is None else list(self.salt),
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
        idf_weights = config.pop("idf_weights", None)
        layer = cls(**config)
        if tokens is not None:
            layer.set_vocabulary([*layer.get_vocabulary(), *tokens], idf_weights)
            layer._was_given = given
        return layer


def _with_mean(idf: NDArray[np.float32], special: int) -> NDArray[np.float32]:
    """Weights with those of so many special tokens in front."""
    return np.concatenate([np.full(special, idf.mean() if idf.size else 0, np.float32), idf])


def _pair(owner: str, salt: int | Sequence[int]) -> tuple[int, int]:
    """Keras's: a single number stands for both."""
    if isinstance(salt, (list, tuple)) and len(salt) != 2:
        raise ValueError(f"{owner}: salt must be one integer or two, got {salt!r}")
    first, second = salt if isinstance(salt, (list, tuple)) else (salt, salt)
    return check_integer(owner, "salt", first), check_integer(owner, "salt", second)
