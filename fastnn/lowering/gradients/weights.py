"""The gradients of a step's weights: who makes them, where they lie, what is known of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.dense import PANEL
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.gradients.need import Need
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.gradients.proof import ONE, Proof, units
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.values import Value
from fastnn.variables import Variable, flat_memory


class WeightGradients:
    """What backward hands to the stages.

    Args:
        need: What must be known of them before the first update.
        halts: A step stops before its updates if a gradient is not finite.
        shared: Other processes add to every gradient.

    Attributes:
        products: Gradients to be computed when all input gradients are there.
        stored: Gradients that are stored as a whole, in the order of their norms: packed as the
            weights are, in one flat piece of memory, which is not in the arena, since nobody
            writes their padding.
        proof: That gradients which are not stored are finite; None where that is not asked for.
        proved: Weights whose stored gradients nobody need look at.
        norms: Of the stored gradients, then of those that only have a norm, squared.
    """

    def __init__(self, emitter: Emitter, need: Need, halts: bool, shared: bool = False) -> None:
        self.need = need
        self.halts = halts
        self._shared = shared
        self.products: list[WeightProduct] = []
        self.stored: dict[Variable, Buffer] = {}
        self.proved: set[Variable] = set()
        self.norms: NDArray[np.float64] = np.zeros(0)
        self._emitter = emitter
        self._memory: NDArray[np.float32] = np.zeros(0, np.float32)
        self._flat: dict[Variable, NDArray[np.float32]] = {}
        self.proof: Proof | None = None
        if halts and need == Need.NOTHING:
            nodes = emitter.trace.nodes
            values = [v for node in nodes for v in (node.output, *node.inputs)]
            room = sum(
                (3 + -(-value.features // PANEL)) * units(emitter.capacity, value.positions)
                for value in values
            )
            # A Dense layer takes the maxima of its input's gradient by panels of its kernel's rows.
            room += sum(
                -(-variable.matrix_shape[0] // PANEL) * units(emitter.capacity, n.output.positions)
                for n in nodes
                if n.inputs and n.output.positions < n.inputs[0].positions
                for variable in n.variables()
            )
            self.proof = Proof(emitter.capacity, room)

    @property
    def norms_suffice(self) -> bool:
        """Whether a gradient that is not stored may have its norm and nothing else known, where
        that comes cheaper."""
        return self.halts and self.need == Need.NORM

    def add(self, product: WeightProduct) -> None:
        """The gradients of a layer's weights, at a time when the team has waited for dz."""
        self.products.append(product)
        self.prove(product.factor, product.dz, product.kernel.matrix_shape[1])

    def made_once(self, product: WeightProduct) -> bool:
        """Whether nobody else contributes to the product's gradients: they are whole as soon as it
        has summed them up."""
        alone = sum(other.kernel is product.kernel for other in self.products) == 1
        return alone and not self._shared

    def store(self, variable: Variable) -> tuple[Buffer, bool]:
        """Where the gradient of a weight goes, and whether it is added to what is there.

        It is packed as the weight is; its padding must stay 0, since the update reads it.
        """
        if variable in self.stored:
            return self.stored[variable], True
        if not self._flat:
            nodes = self._emitter.trace.nodes
            trained = [v for node in nodes for v in node.variables() if v.trainable]
            self._memory, self._flat = flat_memory(trained)
        self.stored[variable] = Buffers.of_array(
            f"d_{variable.path}", self._flat[variable], passing=True
        )
        return self.stored[variable], False

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Path of the weight -> the gradient that is stored, packed."""
        return {variable.path: self._flat[variable] for variable in self.stored}

    def memory(self) -> Buffer:
        """All stored gradients, one after another."""
        return Buffers.of_array("gradients", self._memory, passing=True)

    def norm(self, number: int) -> Buffer:
        """Where that gradient's squared norm goes."""
        return Buffers.of_array(f"norm_{number}", self.norms[number : number + 1], passing=True)

    def prove_sums(self, variables: Iterable[Variable], dy: Buffer, features: int) -> None:
        """Have it proved that the gradients of these weights are finite: sums over rows of dy, or
        of its products with numbers that are about 1."""
        if self.proof is not None:
            self.proved.update(variables)
            self.prove(None, dy, features)

    def prove(self, x: Value | None, dz: Buffer, features: int) -> None:
        """Have it proved that x' dz, or the sum of dz over rows, is finite, before any update."""
        if self.proof is None:
            return
        emitter = self._emitter
        of_x = ONE if x is None else self.proof.entry(x)
        if of_x is None:
            assert x is not None
            room = self.proof.room(x, x.positions)
            if x in emitter.nonzeros:
                emitter.emit("magnitude_sparse", magnitudes=room, source=emitter.nonzeros[x][0])
            else:
                emitter.emit(
                    "magnitude", x=emitter.values[x], magnitudes=room, features=x.features,
                    row=emitter.pixels.get(x, 0),
                )  # fmt: skip
            of_x = self.proof.entry(x)
        if self.proof.entry(dz) is None:
            room = self.proof.room(dz, dz.positions)
            emitter.emit("magnitude", x=dz, magnitudes=room, features=features)
        of_dz = self.proof.entry(dz)
        assert of_x is not None and of_dz is not None
        self.proof.product(of_x, of_dz)
