"""Batch, layer and group normalization, and the activation that follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastnn.kernels.codes import ACTIVATIONS, ROW_STATISTICS, STATISTICS
from fastnn.kernels.group_norms import GROUP_MEANS, GROUP_STATISTICS
from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.activated import ActivatedNode
from fastnn.lowering.nodes.dense import DenseNode, room_for_turned
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.program import Buffer
from fastnn.variables import Variable


@dataclass(eq=False)
class NormalizationNode(ActivatedNode):
    """f(gamma * (x - mean) / sqrt(variance + epsilon) + beta)"""

    gamma: Variable | None
    beta: Variable | None
    epsilon: float
    statistics: Buffer | None = field(default=None, init=False)
    """Mean and variance of the batch, in the kernels' terms."""

    def variables(self) -> list[Variable]:
        return [v for v in (self.gamma, self.beta) if v is not None]

    def _emit_forward(self, builder: Builder, name: str, **operands: Buffer | float | None) -> None:
        features = self.output.features
        builder.emit(
            name, x=builder.values[self.inputs[0]], gamma=builder.weight(self.gamma),
            beta=builder.weight(self.beta), z=self.room_for_z(builder),
            y=builder.activation(self.output), features=features, epsilon=self.epsilon,
            activation=ACTIVATIONS[self.activation.kind], **activation_params(self.activation),
            **self.drops(), **operands,
        )  # fmt: skip

    def _gradients(self, builder: Builder, dy: Buffer) -> dict[str, Buffer | float | None]:
        """Where the gradients of gamma and beta go."""
        operands: dict[str, Buffer | float | None] = {}
        for role, variable in (("gamma", self.gamma), ("beta", self.beta)):
            if variable is not None and variable.trainable:
                gradient, accumulate = builder.weight_gradients.store(variable)
                operands[f"d_{role}"], operands[f"accumulate_{role}"] = gradient, accumulate
                # A normalized number is at most the root of how many there are.
                builder.weight_gradients.prove_sums([variable], dy, self.output.features)
        return operands


@dataclass(eq=False)
class BatchNormalizationNode(NormalizationNode):
    """Normalization over the batch while it trains, else with the moving statistics.

    frozen: It never trains.
    """

    moving_mean: Variable
    moving_variance: Variable
    momentum: float
    frozen: bool

    def forward(self, builder: Builder) -> None:
        features = self.output.features
        if self.frozen or not builder.training:
            self._emit_forward(
                builder, "batchnorm_inference", moving_mean=builder.weight(self.moving_mean),
                moving_variance=builder.weight(self.moving_variance),
            )  # fmt: skip
            return
        self.statistics = builder.buffers.raw(
            f"{self.name}/statistics", 4 * n_blocks(features) * STATISTICS * BLOCK
        )
        self._emit_forward(builder, "batchnorm_forward", statistics=self.statistics)
        builder.averaged.append(self.statistics)
        builder.after_guard.append(lambda: self._update_moving(builder))

    def _update_moving(self, builder: Builder) -> None:
        builder.emit(
            "batchnorm_update_moving", statistics=self.statistics,
            moving_mean=builder.weight(self.moving_mean),
            moving_variance=builder.weight(self.moving_variance), features=self.output.features,
            momentum=self.momentum, one_minus_momentum=1.0 - self.momentum,
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        if self.frozen:
            self._backward_frozen(builder, dy)
            return
        x, features = self.inputs[0], self.output.features
        dx: Buffer | None = None
        dx_t: Buffer | None = None
        accumulate = False
        if x in builder.needs_gradient:
            dx, accumulate = builder.contribution(x)
            maker = x.maker
            is_dz = isinstance(maker, DenseNode) and maker.activation.kind == "linear"
            if is_dz and not accumulate:
                dx_t = room_for_turned(builder, self, dx)
        activation = self.activation.kind if not dy.through else "linear"
        builder.emit(
            "batchnorm_backward", dy=dy.buffer, x=builder.values[x],
            z=self.z if activation != "linear" else None,
            y=builder.values[self.output] if activation != "linear" else None,
            gamma=builder.weight(self.gamma), statistics=self.statistics, dx=dx, dx_t=dx_t,
            features=features, activation=ACTIVATIONS[activation], accumulate=accumulate,
            **activation_params(self.activation), **self._gradients(builder, dy.buffer),
        )  # fmt: skip

    def _backward_frozen(self, builder: Builder, dy: Gradient) -> None:
        """A linear map; the layer's weights are not trained."""
        x = self.inputs[0]
        if x not in builder.needs_gradient:
            return
        dz = self.gradient_of_z(builder, dy)
        dx, accumulate = builder.contribution(x)
        builder.emit(
            "batchnorm_inference_backward", dz=dz, gamma=builder.weight(self.gamma),
            moving_variance=builder.weight(self.moving_variance), dx=dx,
            features=self.output.features, accumulate=accumulate, epsilon=self.epsilon,
        )  # fmt: skip


@dataclass(eq=False)
class LayerNormalizationNode(NormalizationNode):
    """Normalization of each row over its features."""

    def forward(self, builder: Builder) -> None:
        if builder.training:
            lines = builder.capacity * self.output.positions
            self.statistics = builder.buffers.raw(
                f"{self.name}/statistics", 4 * n_blocks(lines) * ROW_STATISTICS * BLOCK
            )
        self._emit_forward(builder, "layernorm_forward", statistics=self.statistics)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dz = self.gradient_of_z(builder, dy)
        common = dict(
            dz=dz, x=builder.values[x], statistics=self.statistics, features=self.output.features
        )
        if x in builder.needs_gradient:
            dx, accumulate = builder.contribution(x)
            builder.emit(
                "layernorm_backward", gamma=builder.weight(self.gamma), dx=dx,
                accumulate=accumulate, **common,
            )  # fmt: skip
        gradients = self._gradients(builder, dz)
        if gradients:
            builder.emit("layernorm_backward_weights", **common, **gradients)


@dataclass(eq=False)
class GroupNormalizationNode(NormalizationNode):
    """Normalization of each row over groups of its channels, with all their positions."""

    groups: int

    def forward(self, builder: Builder) -> None:
        self.statistics = self._of_groups(builder, "statistics", GROUP_STATISTICS)
        self._emit_forward(
            builder, "groupnorm_forward", statistics=self.statistics, groups=self.groups
        )

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dz = self.gradient_of_z(builder, dy)
        common = dict(
            dz=dz, x=builder.values[x], statistics=self.statistics, groups=self.groups,
            features=self.output.features,
        )  # fmt: skip
        if x in builder.needs_gradient:
            dx, accumulate = builder.contribution(x)
            builder.emit(
                "groupnorm_backward", gamma=builder.weight(self.gamma), dx=dx,
                means=self._of_groups(builder, "means", GROUP_MEANS), accumulate=accumulate,
                **common,
            )  # fmt: skip
        gradients = self._gradients(builder, dz)
        if gradients:
            builder.emit("groupnorm_backward_weights", **common, **gradients)

    def _of_groups(self, builder: Builder, name: str, numbers: int) -> Buffer:
        size = 4 * builder.capacity * self.groups * numbers
        return builder.buffers.raw(f"{self.name}/{name}", size)
