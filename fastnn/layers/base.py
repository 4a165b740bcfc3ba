"""Layer: the base of everything that can be called on a symbolic tensor.

A layer is declarative. It knows its settings, the shapes it takes and makes, and its weights; what
it computes is the business of the lowering and the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._checks import check_flag
from fastnn._naming import auto_name, snake_case
from fastnn.graph import Node, Shape, SymbolicTensor, as_shape
from fastnn.variables import Variable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

    from fastnn.constraints import Constraint
    from fastnn.regularizers import Regularizer


CHANGES = [0]
"""How often an attribute of a layer was set, whichever: who has seen the same number before need
not look at the layers again."""


class Layer:
    """Base of all layers.

    A subclass defines ``compute_output_shape``, which also says which input shapes are wrong; where
    it has weights, ``create_weights``; where it has settings, ``get_config``; and it has a row in
    ``fastnn.layers.CLASSES``.

    Args:
        name: Unique in a model. By default the class's name and a number: "dense", "dense_1".
        trainable: Whether training may change its weights.
    """

    takes_list: ClassVar[bool] = False
    """True for a layer that merges several tensors: it is called on a list of them."""

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        if name is None:
            name = auto_name(snake_case(type(self).__name__))
        elif not isinstance(name, str):
            raise TypeError(f"name must be a string, got {name!r}")
        elif not name or "/" in name:
            raise ValueError(f"name must not be empty or contain '/', got {name!r}")
        self._name = name
        self._trainable = check_flag(f"layer {name!r}", "trainable", trainable)
        self._trained: list[Variable] = []
        self._untrained: list[Variable] = []
        self._first_node: Node | None = None
        self.built = False

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        # After it, so that of two threads at once none is lost to who looks then.
        CHANGES[0] += 1

    # Graph

    def __call__(self, inputs: SymbolicTensor | Sequence[SymbolicTensor]) -> SymbolicTensor:
        """Add the layer to the graph; builds it on the first call.

        Raises:
            TypeError: ``inputs`` aren't symbolic tensors.
            ValueError: Their shapes don't suit the layer.
        """
        tensors = self._as_tensors(inputs)
        shapes = [tensor.shape for tensor in tensors]
        input_shape = shapes if self.takes_list else shapes[0]
        self.build(input_shape)
        return self._record(tensors, self.compute_output_shape(input_shape))

    def _as_tensors(
        self, inputs: SymbolicTensor | Sequence[SymbolicTensor]
    ) -> tuple[SymbolicTensor, ...]:
        if self.takes_list != isinstance(inputs, (list, tuple)):
            wanted = "a list of symbolic tensors" if self.takes_list else "one symbolic tensor"
            raise TypeError(f"layer {self.name!r} takes {wanted}, got {_described(inputs)}")
        tensors = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        for tensor in tensors:
            if not isinstance(tensor, SymbolicTensor):
                raise TypeError(
                    f"layer {self.name!r} takes symbolic tensors, such as layers.Input((784,)), "
                    f"got {_described(tensor)}; arrays go to a model's predict"
                )
        return tensors

    def _record(self, inputs: tuple[SymbolicTensor, ...], output_shape: Shape) -> SymbolicTensor:
        node = Node(self, inputs, output_shape)
        if self._first_node is None:
            self._first_node = node
        return node.output

    @property
    def input(self) -> SymbolicTensor | list[SymbolicTensor]:
        """What the layer was called on, the first time; a list for a layer that merges."""
        inputs = list(self._called().inputs)
        return inputs if self.takes_list else inputs[0]

    @property
    def output(self) -> SymbolicTensor | list[SymbolicTensor]:
        """What the first call of the layer returned."""
        return self._called().output

    def _called(self) -> Node:
        if self._first_node is None:
            raise ValueError(f"layer {self.name!r} has not been called: it has no input or output")
        return self._first_node

    # Shapes

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape; nothing but a check once that is done.

        Args:
            input_shape: With the batch first: (None, 784). A list of such shapes for a layer
                that merges.

        Raises:
            TypeError, ValueError: The layer doesn't take this shape. It stays unbuilt.
        """
        shape = self._as_input_shape(input_shape)
        self.compute_output_shape(shape)
        if self.built:
            return
        try:
            self.create_weights(shape)
        except BaseException:
            self._trained.clear()
            self._untrained.clear()
            raise
        self.built = True

    def _as_input_shape(self, input_shape: Any) -> Any:
        owner = f"layer {self.name!r}"
        if self.takes_list:
            if not isinstance(input_shape, (list, tuple)):
                raise TypeError(f"{owner} takes a list of shapes, got {input_shape!r}")
            return [as_shape(shape, owner) for shape in input_shape]
        return as_shape(input_shape, owner)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The shape made from ``input_shape``; ValueError if the layer doesn't take that."""
        return input_shape  # type: ignore[no-any-return]

    def create_weights(self, input_shape: Any) -> None:
        """Call ``add_weight`` for each weight. Called once, by ``build``."""

    # Weights

    @property
    def inner_layers(self) -> list[Layer]:
        """The layers that this one is made of, if it is; their weights are its own."""
        return []

    def add_weight(
        self,
        shape: tuple[int, ...],
        initializer: Callable[[tuple[int, ...]], ArrayLike],
        name: str,
        trainable: bool = True,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
        matrix_shape: tuple[int, int] | None = None,
    ) -> Variable:
        """A new weight of the layer, with the path "layer name/``name``".

        ``matrix_shape`` is that of :class:`fastnn.variables.Variable`.

        Raises:
            ValueError: ``constraint`` can't take its norms along the axes of ``shape``.
        """
        variable = Variable(
            shape, initializer, name, trainable and self.trainable, f"{self.name}/{name}",
            regularizer, constraint, matrix_shape,
        )  # fmt: skip
        (self._trained if trainable else self._untrained).append(variable)
        return variable

    @property
    def name(self) -> str:
        """Unique in a model; it can't be changed, since the paths of the weights begin with it."""
        return self._name

    @property
    def trainable(self) -> bool:
        """Whether training may change the weights. Compile the model again after changing it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._set_trainable(check_flag(f"layer {self.name!r}", "trainable", value))

    def _set_trainable(self, value: bool) -> None:
        self._trainable = value
        for variable in self._trained:
            variable.trainable = value

    @property
    def weights(self) -> list[Variable]:
        """All weights: those made to be trained, then the others. Empty before ``build``."""
        return self._trained + self._untrained

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves to the layer, or leaves alone."""
        return [v for v in self.weights if not v.trainable] if self.trainable else self.weights

    def get_weights(self) -> list[NDArray[np.float32]]:
        """Copies of the weights, in the order of ``weights``."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Overwrite all weights, in the order of ``weights``.

        Raises:
            ValueError, TypeError: Another number of arrays, another shape, or values that
                aren't numbers. No weight is changed then.
        """
        variables = self.weights
        if len(weights) != len(variables):
            raise ValueError(
                f"{self.name!r} has {len(variables)} weights, got a list of {len(weights)}"
            )
        values = [v.checked(value) for v, value in zip(variables, weights, strict=True)]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Number of values in all weights; ValueError before the layer is built."""
        if not self.built:
            raise ValueError(
                f"{self.name!r} is not built yet, its weights can't be counted: call it on an "
                "input, or call build(input_shape)"
            )
        return sum(variable.size for variable in self.weights)

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON values."""
        return {"name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An unbuilt layer with the settings that ``get_config`` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _described(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} of shape {shape}"
