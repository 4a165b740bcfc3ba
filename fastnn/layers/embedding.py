"""Integers as vectors that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from fastnn import constraints, initializers, regularizers
from fastnn._checks import check_flag, check_integer
from fastnn.constraints import ConstraintLike
from fastnn.graph import Shape
from fastnn.initializers import InitializerLike
from fastnn.layers.base import Layer
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable


class Embedding(Layer):
    """Rows of a table, by integers from 0 to input_dim - 1. Takes (batch, ...), makes (batch, ...,
    output_dim).

    They must come from an input of the model, or from a preprocessing layer such as
    ``StringLookup``, and stay integers up to 2**31 - 1. One that is out of range, or has a
    fraction, is a ValueError before anything is computed.

    As in Keras, an optimizer whose step depends on more than the gradient (momentum, Adam, ...,
    weight decay, a regularizer) moves all rows in each step, also those that the batch does not
    have. With SGD without momentum, and with Adagrad, only the batch's rows change, and only they
    are touched. What is summed for a row is summed in the order of the examples, on any number of
    threads.

    The table takes 64 bytes for 16 numbers of a row, or part of them.

    Args:
        input_dim: How many integers there are: the largest one plus 1.
        output_dim: Width of the vectors.
        embeddings_initializer: As ``fastnn.initializers.get`` takes it; uniform in
            [-0.05, 0.05] by default.
        embeddings_regularizer: As ``fastnn.regularizers.get`` takes it: of the whole table.
        embeddings_constraint: As ``fastnn.constraints.get`` takes it.
        mask_zero: False: there are no layers that skip masked steps.
        weights: What the table begins with, (input_dim, output_dim), or a list of it.

    Attributes:
        embeddings : Variable of shape (input_dim, output_dim): There once the layer is built.
    """

    embeddings: Variable

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike = None,
        embeddings_constraint: ConstraintLike = None,
        mask_zero: bool = False,
        weights: ArrayLike | Sequence[ArrayLike] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = "Embedding"
        self.input_dim = check_integer(owner, "input_dim", input_dim, at_least=1)
        if self.input_dim > 2**31 - 1:
            raise ValueError(f"{owner}: input_dim must be at most 2**31 - 1, got {input_dim}")
        self.output_dim = check_integer(owner, "output_dim", output_dim, at_least=1)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        if check_flag(owner, "mask_zero", mask_zero):
            raise ValueError(
                f"{owner}: mask_zero must be False: no layer skips what is masked. Let 0 be an "
                "integer as any other"
            )
        super().__init__(name=name, trainable=trainable)
        if weights is not None:
            self.build((None,))
            listed = isinstance(weights, (list, tuple)) and len(weights) == 1
            self.set_weights(weights if listed else [weights])  # type: ignore[arg-type, list-item]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def create_weights(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim), self.embeddings_initializer, "embeddings",
            regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": False,
        }
