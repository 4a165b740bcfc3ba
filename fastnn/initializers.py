"""First values of weights.

An initializer is called with a shape and returns float32. As in Keras, one instance returns the
same values at every call: its seed is given, or drawn when it is made.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import utils
from fastnn._checks import check_choice, check_integer, check_real
from fastnn._naming import snake_case
from fastnn._registry import resolve
from fastnn._registry import serialize as _serialize

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LSUV",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "deserialize",
    "get",
    "serialize",
]

DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal variable cut at two standard deviations."""


class Initializer(ABC):
    """Base of all initializers."""

    @abstractmethod
    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Values of ``shape``, float32, C order."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal initializer."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """The initializer that ``get_config`` described."""
        return cls(**config)


InitializerLike = (
    str
    | dict[str, Any]
    | Initializer
    | type[Initializer]
    | Callable[[tuple[int, ...]], "ArrayLike"]
)


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.ones(shape, np.float32)


class Constant(Initializer):
    """All ``value``."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = check_real("Constant", "value", value)

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.full(shape, self.value, np.float32)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class RandomInitializer(Initializer):
    """Base of the initializers that draw random numbers.

    Args:
        seed: An integer from 0. By default one is drawn from the stream that
            ``set_random_seed`` fixes.
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None:
            seed = check_integer(type(self).__name__, "seed", seed, at_least=0)
        self.seed = seed
        self._drawn_seed = (
            int(utils.generator("initializers").integers(2**63)) if seed is None else seed
        )

    def _generator(self) -> Generator:
        from numpy.random import Generator, Philox

        return Generator(Philox(self._drawn_seed))

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class RandomNormal(RandomInitializer):
    """Normal, with ``mean`` and ``stddev``."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = check_real(type(self).__name__, "mean", mean)
        self.stddev = check_real(type(self).__name__, "stddev", stddev, at_least=0)
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return _normal(self._generator(), shape, self.mean, self.stddev)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class TruncatedNormal(RandomInitializer):
    """Normal, but a value farther than two ``stddev`` from ``mean`` is drawn again."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = check_real(type(self).__name__, "mean", mean)
        self.stddev = check_real(type(self).__name__, "stddev", stddev, at_least=0)
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return _truncated_normal(self._generator(), shape, self.mean, self.stddev)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class RandomUniform(RandomInitializer):
    """Uniform between ``minval`` and ``maxval``."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        self.minval = check_real("RandomUniform", "minval", minval)
        self.maxval = check_real("RandomUniform", "maxval", maxval, at_least=self.minval)
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return _uniform(self._generator(), shape, self.minval, self.maxval)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, **super().get_config()}


class VarianceScaling(RandomInitializer):
    """Random values of variance ``scale / n``, n the fan that ``mode`` names.

    Args:
        scale: Positive.
        mode: "fan_in", "fan_out" or "fan_avg"; a weight of shape (in, out) has fans in and out,
            a weight of shape (n,) has n and n, and one of shape (..., in, out), a convolution's, in
            and out times the size of its window.
        distribution: "truncated_normal" (also "normal"): cut at two standard deviations,
            widened so that the variance is right all the same; "untruncated_normal"; or "uniform".
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        owner = type(self).__name__
        self.scale = check_real(owner, "scale", scale, above=0)
        self.mode = check_choice(owner, "mode", mode, ("fan_in", "fan_out", "fan_avg"))
        if distribution == "normal":
            distribution = "truncated_normal"
        self.distribution = check_choice(owner, "distribution", distribution, DISTRIBUTIONS)
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        generator = self._generator()
        if self.distribution == "truncated_normal":
            stddev = math.sqrt(variance) / TRUNCATED_STDDEV
            return _truncated_normal(generator, shape, 0.0, stddev)
        if self.distribution == "untruncated_normal":
            return _normal(generator, shape, 0.0, math.sqrt(variance))
        limit = math.sqrt(3 * variance)
        return _uniform(generator, shape, -limit, limit)

    def get_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            **super().get_config(),
        }


class _FixedScaling(VarianceScaling):
    """VarianceScaling with everything but the seed settled."""

    _scaling: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        scale, mode, distribution = self._scaling
        super().__init__(scale, mode, distribution, seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_FixedScaling):
    """Uniform within sqrt(6 / (in + out)) (Glorot & Bengio 2010)."""

    _scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_FixedScaling):
    """Truncated normal of variance 2 / (in + out) (Glorot & Bengio 2010)."""

    _scaling = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_FixedScaling):
    """Uniform within sqrt(6 / in) (He et al. 2015)."""

    _scaling = (2.0, "fan_in", "uniform")


class HeNormal(_FixedScaling):
    """Truncated normal of variance 2 / in (He et al. 2015)."""

    _scaling = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_FixedScaling):
    """Uniform within sqrt(3 / in) (LeCun et al. 1998)."""

    _scaling = (1.0, "fan_in", "uniform")


class LecunNormal(_FixedScaling):
    """Truncated normal of variance 1 / in (LeCun et al. 1998)."""

    _scaling = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """``gain`` times a random matrix with orthonormal rows or columns (Saxe et al. 2014)."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = check_real("Orthogonal", "gain", gain)
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs a shape of rank 2 or more, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = self._generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(normal)
        # With the sign of R's diagonal taken out, Q is uniform over the orthogonal matrices.
        q *= np.sign(np.diag(r))
        if rows < columns:
            q = q.T
        return (self.gain * q.reshape(shape)).astype(np.float32, order="C")

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, **super().get_config()}


class LSUV(Orthogonal):
    """Layer-sequential unit variance (Mishkin & Matas 2016, "All you need is a good init").

    The kernel of a Dense layer begins as a random matrix with orthonormal rows or columns. When
    ``fit`` is first called it is scaled, layer after layer, so that what the layer feeds to its
    activation, ``x @ kernel + bias``, has variance 1 over the first 1024 rows of the data, or over
    the first batch of an iterable; validation data counts for nothing. This is done before the
    first step, and only to a kernel that is still what the initializer has made: one that was
    trained, set by ``set_weights`` or loaded from a file isn't touched. ``train_on_batch`` leaves
    it orthogonal. Kernels of convolutions refuse it. Keras has no such initializer.

    Args:
        tolerance: Scaling ends when the variance is closer to 1 than this.
        max_iterations: Or after so many times; at least 1. Without a bias one is enough.
        seed: An integer from 0; by default drawn from the stream that ``set_random_seed`` fixes.

    Raises:
        TypeError, ValueError: An argument is no such number.
    """

    def __init__(
        self, tolerance: float = 0.1, max_iterations: int = 10, seed: int | None = None
    ) -> None:
        self.tolerance = check_real("LSUV", "tolerance", tolerance, above=0)
        self.max_iterations = check_integer("LSUV", "max_iterations", max_iterations, at_least=1)
        super().__init__(seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {
            "tolerance": self.tolerance,
            "max_iterations": self.max_iterations,
            "seed": self.seed,
        }


_BUILT_IN: tuple[type[Initializer], ...] = (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    LSUV,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)
CLASSES: dict[str, type[Initializer]] = {
    name: cls for cls in _BUILT_IN for name in (cls.__name__, snake_case(cls.__name__))
} | {"normal": RandomNormal, "one": Ones, "uniform": RandomUniform, "zero": Zeros}
"""Every name of an initializer: the class's, its snake-case form, and Keras's aliases."""


def get(identifier: InitializerLike) -> Callable[[tuple[int, ...]], ArrayLike]:
    """The initializer that ``identifier`` names.

    Args:
        identifier: A name ("glorot_uniform" or "GlorotUniform"), what :func:`serialize` made,
            an initializer or its class, or any callable that takes a shape and returns an array.

    Raises:
        TypeError, ValueError: ``identifier`` is of another type, or no initializer has that
            name.
    """
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return resolve("initializer", Initializer, CLASSES, identifier)  # type: ignore[type-abstract]


def serialize(initializer: Callable[[tuple[int, ...]], ArrayLike]) -> dict[str, Any]:
    """``initializer`` as JSON values; ValueError if it isn't one of fastnn's own."""
    if not isinstance(initializer, Initializer) or type(initializer) not in _BUILT_IN:
        raise ValueError(f"only fastnn's own initializers can be saved, got {initializer!r}")
    return _serialize(initializer)


def deserialize(config: dict[str, Any]) -> Initializer:
    """The initializer that :func:`serialize` described; ValueError naming what is wrong."""
    return resolve("initializer", Initializer, CLASSES, config)  # type: ignore[type-abstract]


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Inputs and outputs of a kernel (*window, in, out), each times the size of the window."""
    if not shape:
        return 1.0, 1.0
    if len(shape) == 1:
        return float(shape[0]), float(shape[0])
    receptive_field = math.prod(shape[:-2])
    return float(shape[-2] * receptive_field), float(shape[-1] * receptive_field)


def _normal(
    generator: Generator, shape: tuple[int, ...], mean: float, stddev: float
) -> NDArray[np.float32]:
    standard = generator.standard_normal(shape, dtype=np.float32)
    return _scaled(standard, stddev, mean)


def _truncated_normal(
    generator: Generator, shape: tuple[int, ...], mean: float, stddev: float
) -> NDArray[np.float32]:
    standard = generator.standard_normal(shape, dtype=np.float32)
    while (outside := np.abs(standard) > 2).any():
        standard[outside] = generator.standard_normal(np.count_nonzero(outside), dtype=np.float32)
    return _scaled(standard, stddev, mean)


def _uniform(
    generator: Generator, shape: tuple[int, ...], minimum: float, maximum: float
) -> NDArray[np.float32]:
    unit = generator.random(shape, dtype=np.float32)
    return _scaled(unit, maximum - minimum, minimum)


def _scaled(values: NDArray[np.float32], factor: float, offset: float) -> NDArray[np.float32]:
    values *= np.float32(factor)
    values += np.float32(offset)
    return values
