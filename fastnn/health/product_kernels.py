"""The kernels of a layer that makes sums: where each is, how it is drawn, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastnn.initializers import VarianceScaling, fans
from fastnn.layers.depthwise import Depthwise
from fastnn.layers.separable import Separable
from fastnn.variables import Variable

if TYPE_CHECKING:
    from fastnn.health.anatomy import Product

__all__ = ["Kernel", "fan", "kernels_of"]


@dataclass(frozen=True)
class Kernel:
    """One of a layer's kernels.

    Attributes:
        attribute: The layer's that has the weights, once it is built.
        settings: What the names of its initializer and regularizer begin with.
        reads_one_channel: Whether a filter reads one channel alone.
        activated: Whether the layer's activation comes right after it.
    """

    attribute: str
    settings: str
    reads_one_channel: bool = False
    activated: bool = True

    @property
    def initializer(self) -> str:
        """The layer's attribute."""
        return f"{self.settings}_initializer"

    @property
    def regularizer(self) -> str:
        """The layer's attribute."""
        return f"{self.settings}_regularizer"

    def weights(self, layer: Product) -> Variable:
        """Those of a layer that is built, or once was."""
        found: Variable = getattr(layer, self.attribute)
        return found

    def fitted(self, initializer: VarianceScaling, layer: Product) -> VarianceScaling:
        """The initializer, by what a filter reads: Keras counts all channels, of which a filter of
        a depthwise convolution reads one."""
        if not self.reads_one_channel:
            return initializer
        *window, channels, filters = self.weights(layer).shape
        counted = fan(initializer, (*window, channels, filters))
        read = fan(initializer, (*window, 1, filters))
        return VarianceScaling(
            initializer.scale * counted / read, initializer.mode, initializer.distribution,
            initializer.seed,
        )  # fmt: skip


_USUAL = (Kernel("kernel", "kernel"),)
_DEPTHWISE = (Kernel("kernel", "depthwise", reads_one_channel=True),)
_SEPARABLE = (
    Kernel("depthwise_kernel", "depthwise", reads_one_channel=True, activated=False),
    Kernel("pointwise_kernel", "pointwise"),
)


def kernels_of(layer: Product) -> tuple[Kernel, ...]:
    """In the order in which they are applied."""
    if isinstance(layer, Separable):
        return _SEPARABLE
    return _DEPTHWISE if isinstance(layer, Depthwise) else _USUAL


def fan(initializer: VarianceScaling, shape: tuple[int, ...]) -> float:
    """What the variance of a kernel of this shape is divided by."""
    fan_in, fan_out = fans(shape)
    return fan_in if initializer.mode == "fan_in" else (fan_in + fan_out) / 2
