"""What the loops must know of a model that learns. ``Trainer`` is the class that does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fastnn.callbacks import History
from fastnn.graph import Network
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.objective import Objective
from fastnn.models.compiled import Compiled
from fastnn.models.executables import Executables
from fastnn.models.optimizer_state import OptimizerState
from fastnn.models.saving import Trained
from fastnn.models.totals import Totals
from fastnn.optimizers import Optimizer


class Learner(Network, Trained, Protocol):
    """A network with weights, with what ``compile`` settled, and with executables.

    Attributes:
        stop_training: Set by a callback to end ``fit`` after the batch at hand.
        history: Of the last ``fit``.
    """

    stop_training: bool
    history: History | None
    _executables: Executables

    @property
    def output_names(self) -> list[str]:
        """A unique name for each output."""

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, (None, ...)."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to ``compile``."""

    def _check_compiled(self) -> Compiled:
        """ValueError before ``compile``."""

    def _objectives(self) -> list[Objective]:
        """One for each output of the built model."""

    def _totals(self, objectives: Sequence[Objective] | None = None) -> Totals:
        """For the model's own objectives, or for others with its losses."""

    def _updates(self) -> Updates:
        """The optimizer as lowering sees it."""

    def _state(self) -> OptimizerState:
        """What the optimizer keeps of each weight."""
