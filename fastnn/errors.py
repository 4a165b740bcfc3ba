"""The exceptions of a training; ``health.UnhealthyError`` is the only other one of the package's
own. All else is a TypeError or a ValueError."""

from __future__ import annotations

from typing import Any


class GradientHealthError(RuntimeError):
    """``callbacks.GradientHealth`` found something wrong, and was told to raise."""


class ProcessError(RuntimeError):
    """Another process of a training that is shared by several has failed, or is somewhere else."""


class NonFiniteGradientError(FloatingPointError, ValueError):
    """A gradient has an infinity or NaN, or is so large that its square, which the optimizer keeps,
    would be infinite; training stopped before it touched a weight.

    Attributes:
        weight: The weight where a gradient first was not finite: "dense/kernel".
        step: Steps that the optimizer had done before.
        batch: The batch's number in its epoch, from 0.
        samples: The rows that the batch is made of, by their numbers in the data.
    """

    def __init__(self, weight: str, step: int, batch: int, samples: tuple[int, ...] = ()) -> None:
        self.weight, self.step, self.batch, self.samples = weight, step, batch, samples
        super().__init__(weight, step, batch, samples)
        # Its data, where fit has it: for `models.replay`.
        self._batch: Any = None

    def __str__(self) -> str:
        layer, _, name = self.weight.rpartition("/")
        return (
            f"layer {layer!r}: the gradient of its {name} is not finite, or its square is not, at "
            f"step {self.step}, batch {self.batch} of the epoch; no weight was changed. Values of "
            "that batch are too large "
            "or the steps before it were: scale the inputs, lower the learning rate, or clip "
            "gradients. An optimizer with nonfinite='skip' leaves such steps out"
        )
