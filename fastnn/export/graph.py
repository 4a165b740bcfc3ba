"""The graph that goes into the file: operators of ONNX, and tensors that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.export.values import Element, Extents, Value, plain


@dataclass(frozen=True)
class Operator:
    """One node: ``output = kind(*inputs)``, with these attributes.

    Attributes:
        domain: Of the operators among which ``kind`` is; "" are ONNX's own.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""


class Graph:
    """Operators in their order.

    Attributes:
        operators: Each after those whose outputs it reads.
        tensors: The initializers by name.
    """

    def __init__(self, reserved: Sequence[str]) -> None:
        self.operators: list[Operator] = []
        self.tensors: dict[str, NDArray[Any]] = {}
        self._names = set(reserved)
        self._arranged: dict[tuple[str, tuple[int, ...]], Value] = {}
        self._cast: dict[tuple[str, Element], str] = {}

    def add(
        self, kind: str, inputs: Sequence[str], name: str, domain: str = "", **attributes: Any
    ) -> str:
        """The output of a new operator."""
        output = self._fresh(name)
        self.operators.append(Operator(kind, tuple(inputs), output, attributes, domain))
        return output

    def tensor(self, name: str, values: ArrayLike, dtype: type = np.float32) -> str:
        """The name of a tensor of these values; equal ones of one name are the same."""
        array: NDArray[Any] = np.ascontiguousarray(values, dtype).reshape(np.shape(values))
        found = self.tensors.get(name)
        if found is None or found.shape != array.shape or found.tobytes() != array.tobytes():
            name = self._fresh(name)
            self.tensors[name] = array
        return name

    def extents(self, *values: int) -> str:
        """A tensor of int64: a shape, or places along axes."""
        return self.tensor("x".join(map(str, values)) or "none", values, np.int64)

    def cast(self, value: Value, element: Element, name: str) -> Value:
        """The value with such elements, for the layer ``name``; one that was cast before is not
        cast again.

        Raises:
            ValueError: Only one of the two are texts.
        """
        if value.element == element:
            return value
        if Element.STRING in (value.element, element):
            wanted = "texts, not numbers" if element == Element.STRING else "numbers, not texts"
            raise ValueError(f"layer {name!r} can't be exported: it takes {wanted}")
        key = (value.name, element)
        if key not in self._cast:
            self._cast[key] = self.add("Cast", [value.name], f"{name}/Cast", to=int(element))
        return replace(value, name=self._cast[key], element=element, deviation=None)

    def reshaped(self, tensor: str, shape: Extents, name: str) -> str:
        """The tensor with the extents ``shape`` after the batch."""
        return self.add("Reshape", [tensor, self.extents(0, *shape)], f"{name}/Reshape")

    def arranged(self, value: Value, order: tuple[int, ...], name: str) -> Value:
        """The value with its axes in this order; one that was turned before is not turned again."""
        if value.order == order:
            return value
        key = (value.name, order)
        if key not in self._arranged:
            stored = value.name
            if value.is_flattened:
                stored = self.reshaped(stored, value.stored, name)
            turn = [0, *(value.order.index(axis) + 1 for axis in order)]
            stored = self.add("Transpose", [stored], f"{name}/Transpose", perm=turn)
            if value.is_flattened:
                stored = self.reshaped(stored, value.shape, name)
            made = replace(value, name=stored, order=order, deviation=None)
            self._arranged[key] = made
            self._arranged[stored, value.order] = replace(value, deviation=None)
        return self._arranged[key]

    def plain(self, value: Value, name: str) -> Value:
        """The value as it lies in the model."""
        value = self.arranged(value, tuple(range(len(value.grid))), name)
        return plain(value.name, value.shape, value.deviation, value.element)

    def finish(self, outputs: Sequence[str], names: Sequence[str]) -> None:
        """Give the tensors ``outputs`` these names, and leave out what none of them needs."""
        makers = {operator.output for operator in self.operators}
        renamed: dict[str, str] = {}
        for tensor, name in zip(outputs, names, strict=True):
            if tensor in makers and tensor not in renamed:
                renamed[tensor] = name
            else:
                self.operators.append(Operator("Identity", (tensor,), name))
        self.operators = [
            replace(
                operator,
                inputs=tuple(renamed.get(name, name) for name in operator.inputs),
                output=renamed.get(operator.output, operator.output),
            )
            for operator in self.operators
        ]
        needed = set(names)
        for operator in reversed(self.operators):
            if operator.output in needed:
                needed.update(operator.inputs)
        self.operators = [each for each in self.operators if each.output in needed]
        self.tensors = {name: each for name, each in self.tensors.items() if name in needed}

    def _fresh(self, name: str) -> str:
        number, found = 0, name
        while found in self._names:
            number += 1
            found = f"{name}_{number}"
        self._names.add(found)
        return found
