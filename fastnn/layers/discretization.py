"""Numbers as the bins that they fall into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_choice, check_integer, check_real
from fastnn.graph import Shape
from fastnn.layers.adapting import batches_of
from fastnn.layers.category_encoding import check_not_sparse, shape_of_encoding
from fastnn.layers.preprocessing import PreprocessingLayer, as_float32
from fastnn.preprocessing import quantiles
from fastnn.preprocessing.encoding import MODES, encode

if TYPE_CHECKING:
    from typing_extensions import Self


class Discretization(PreprocessingLayer):
    """Numbers as the number of the bin that each falls into, from 0 on.

    A number that equals a boundary is in the bin above it.

    Args:
        bin_boundaries: In ascending order: n of them make n + 1 bins.
        num_bins: Instead: how many bins ``adapt`` makes, of about as many numbers each.
        epsilon: The error of these shares, in ``adapt``.
        output_mode: "int", or how :class:`CategoryEncoding` shows the bins: "one_hot", "multi_hot"
            or "count".
        sparse: False.

    Attributes:
        bin_boundaries : list of float: None before ``adapt``.
    """

    on_host = True

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = "Discretization"
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError(f"{owner}: give either bin_boundaries or num_bins")
        self.num_bins = (
            None if num_bins is None else check_integer(owner, "num_bins", num_bins, at_least=1)
        )
        self.bin_boundaries = None if bin_boundaries is None else _ascending(owner, bin_boundaries)
        self.epsilon = check_real(owner, "epsilon", epsilon, above=0, below=1)
        self.output_mode = check_choice(owner, "output_mode", output_mode, ("int", *MODES))
        check_not_sparse(owner, sparse)
        super().__init__(name=name, trainable=trainable)

    def adapt(self, data: ArrayLike | Iterable[ArrayLike], steps: int | None = None) -> None:
        """Put the boundaries where Keras does: at quantiles, by a summary of about 1 / epsilon
        values of the data.

        Args:
            data: An array or table of any shape, or an iterable of such batches.
            steps: So many batches of an iterable at most.

        Raises:
            TypeError, ValueError: They are no finite numbers, or the layer was given its
                boundaries; or it is in a model that knows another number of them.
        """
        if self.num_bins is None:
            raise ValueError(f"layer {self.name!r} was given its bin_boundaries")
        summary = quantiles.empty_summary()
        for batch in batches_of(data, f"layer {self.name!r}: data", steps):
            numbers = as_float32(batch, f"layer {self.name!r}: adapt")
            found = quantiles.summarize(numbers, self.epsilon)
            summary = quantiles.merge(found, summary, self.epsilon)
        boundaries = quantiles.boundaries(summary, self.num_bins)
        if self.built and self.output_mode != "int" and len(boundaries) + 1 != self._bins:
            raise ValueError(
                f"layer {self.name!r} is in a model, with {self._bins} bins, but this data makes "
                f"{len(boundaries) + 1}: adapt it before"
            )
        self.bin_boundaries = boundaries

    @property
    def _bins(self) -> int:
        if self.bin_boundaries is not None:
            return len(self.bin_boundaries) + 1
        assert self.num_bins is not None
        return self.num_bins

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.output_mode == "int":
            return input_shape
        return shape_of_encoding(self.name, input_shape, self.output_mode, self._bins)

    def boundaries(self) -> NDArray[np.float32]:
        """``bin_boundaries``, as numbers are compared with them; ValueError before ``adapt``."""
        if self.bin_boundaries is None:
            raise ValueError(f"layer {self.name!r} has no bin_boundaries yet: call adapt(data)")
        return np.array(self.bin_boundaries, np.float32)

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """int32, uint8 of zeros and ones, or float32 of counts."""
        boundaries = self.boundaries()
        numbers = as_float32(x, f"layer {self.name!r}")
        bins = np.searchsorted(boundaries, numbers, side="right")
        if self.output_mode == "int":
            return bins.astype(np.int32)
        return encode(f"layer {self.name!r}", bins, self.output_mode, len(boundaries) + 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """What ``get_config`` gave, with what was learned."""
        config = dict(config)
        learned = config.get("bin_boundaries") if config.get("num_bins") is not None else None
        if learned is not None:
            config["bin_boundaries"] = None
        layer = cls(**config)
        if learned is not None:
            layer.bin_boundaries = _ascending("Discretization", learned)
        return layer


def _ascending(owner: str, boundaries: Sequence[float]) -> list[float]:
    values = [check_real(owner, "bin_boundaries", value) for value in boundaries]
    if sorted(values) != values:
        raise ValueError(f"{owner}: bin_boundaries must ascend, got {boundaries}")
    return values
