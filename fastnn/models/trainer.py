"""compile, fit, evaluate, predict: what a model does with data."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.callbacks import History
from fastnn.data.dataset import Dataset
from fastnn.distribution import DataParallel
from fastnn.images.dataset import ImageDataset
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.objective import Objective
from fastnn.models import sharing
from fastnn.models.arguments import check_verbose, held_arrays
from fastnn.models.compiled import Compiled
from fastnn.models.evaluating import evaluate
from fastnn.models.executables import Executables
from fastnn.models.feeding import feed
from fastnn.models.fitting import Fit, FitData, Plan
from fastnn.models.optimizer_state import OptimizerState
from fastnn.models.passes import run_pass
from fastnn.models.predicting import predict, predict_few
from fastnn.models.totals import Logs, Totals

if TYPE_CHECKING:
    from fastnn.graph import Node, SymbolicTensor
    from fastnn.losses import Loss
    from fastnn.metrics import Metric
    from fastnn.optimizers import Optimizer
    from fastnn.variables import Variable


class Trainer(ABC):
    """The half of a model that trains. ``Model`` is the other: layers, weights, shapes.

    Attributes:
        built: Whether the model has its graph and weights.
        stop_training: Set by a callback to end ``fit`` after the batch at hand.
        history: Of the last ``fit``.
    """

    built: bool
    name: str

    def __init__(self) -> None:
        self.stop_training = False
        self.history: History | None = None
        self._compiled: Compiled | None = None
        self._optimizer_state: OptimizerState | None = None
        self._bound: list[Objective] | None = None
        self._executables = Executables(self)

    # The other half

    @property
    @abstractmethod
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that data is fed to."""

    @property
    @abstractmethod
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that ``predict`` returns."""

    @property
    @abstractmethod
    def output_names(self) -> list[str]:
        """A unique name for each output."""

    @property
    @abstractmethod
    def nodes(self) -> list[Node]:
        """The calls of layers, each after those it depends on."""

    @property
    @abstractmethod
    def weights(self) -> list[Variable]:
        """The weights of all layers."""

    @abstractmethod
    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, (None, ...)."""

    # Compile

    def compile(
        self,
        optimizer: str | Optimizer | Mapping[str, Any] = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Settle how to train. Weights stay as they are; the optimizer begins anew.

        Args:
            optimizer: Name, or instance of ``fastnn.optimizers``.
            loss: Name or instance of ``fastnn.losses``, or a function ``(y_true, y_pred) -> (loss,
                d_loss/d_y_pred)``, see ``losses.CallableLoss``; for several outputs a list or a
                dict by the name of the output.
            loss_weights: A factor for each output's loss, likewise.
            metrics: A list of names or instances of ``fastnn.metrics``, or functions ``(y_true,
                y_pred) -> float`` of all rows; for several outputs a list of lists or a dict. Those
                that need all rows are computed when an epoch or evaluation ends, and are absent
                from the logs of a batch; until then its predictions are kept.
            weighted_metrics: Likewise; their means are weighted by ``sample_weight`` or
                ``class_weight``.

        Raises:
            TypeError, ValueError: A name is unknown, or does not fit the outputs.
        """
        compiled = Compiled(optimizer, loss, loss_weights, metrics, weighted_metrics)
        bound = compiled.objectives(self.outputs, self.output_names) if self.built else None
        self._compiled, self._bound = compiled, bound
        self._optimizer_state = OptimizerState(compiled.optimizer)
        self._executables.clear()

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called."""
        return self._compiled is not None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to ``compile``."""
        return self._check_compiled().optimizer

    @property
    def loss(self) -> Loss | list[Loss | None] | dict[str, Loss | None] | None:
        """The loss given to ``compile``."""
        loss: Loss | list[Loss | None] | dict[str, Loss | None] | None
        loss = self._check_compiled().loss
        return loss

    @property
    def metrics(self) -> list[Metric]:
        """The metrics given to ``compile``, then the weighted ones; none before the model is built,
        since what "accuracy" means depends on its output."""
        if self._compiled is None or not self.built:
            return []
        objectives = self._objectives()
        return [m for o in objectives for m in o.metrics] + [
            m for o in objectives for m in o.weighted_metrics
        ]

    @property
    def metrics_names(self) -> list[str]:
        """Names of what ``evaluate`` and ``train_on_batch`` return, in order."""
        return self._totals().names

    # What the loops need

    def _check_compiled(self) -> Compiled:
        if self._compiled is None:
            raise ValueError("the model is not compiled: call compile(optimizer, loss) first")
        return self._compiled

    def _objectives(self) -> list[Objective]:
        """One for each output of the built model."""
        if self._bound is None:
            self._bound = self._check_compiled().objectives(self.outputs, self.output_names)
        return self._bound

    def _totals(self, objectives: Sequence[Objective] | None = None) -> Totals:
        """For the model's own objectives, or for others with its losses."""
        penalized = self._executables.signature.penalized
        return Totals(self.output_names, objectives or self._objectives(), penalized)

    def _updates(self) -> Updates:
        return self._state().updates(self.weights)

    def _state(self) -> OptimizerState:
        self._check_compiled()
        assert self._optimizer_state is not None
        return self._optimizer_state

    def _graph_changed(self) -> None:
        """What was made of the old graph is stale."""
        self._bound = None
        self._executables.clear()

    # What a file keeps of training

    def _compile_config(self) -> dict[str, Any]:
        return self._check_compiled().config()

    def _training_state(self) -> dict[str, NDArray[Any]]:
        return self._state().arrays()

    def _restore_training_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._state().restore(state, self.weights)

    def __getstate__(self) -> dict[str, Any]:
        # Executables hold the addresses of this model's weights: a copy makes its own.
        return {key: value for key, value in self.__dict__.items() if key != "_executables"}

    def __deepcopy__(self, memo: dict[int, Any]) -> Trainer:
        result: Trainer = type(self).__new__(type(self))
        memo[id(self)] = result
        # One after the other: through their inputs they hang together as long as the model is deep.
        for node in self.nodes if self.built else ():
            copy.deepcopy(node, memo)
        result.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return result

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._executables = Executables(self)

    # Train

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        distribution: DataParallel | None = None,
    ) -> History:
        """Train for ``epochs`` passes over the data. Arguments and results are Keras 3's.

        Args:
            x: Array (N, ...), list of arrays for several inputs, matrix of ``scipy.sparse`` for a
                model that begins with Dense, an iterable of batches ``(x, y)`` or
                ``(x, y, sample_weight)``, or what ``utils.image_dataset_from_directory`` returns.
            y: Targets; integer labels (N,) for the sparse losses.
            batch_size: Rows a step; by default 32, or that of a data set of pictures. The last step
                of an epoch takes what is left.
            epochs: Number of the last epoch.
            verbose: 0 silent; 1 a progress bar; 2 a line an epoch; "auto" is 1 on a terminal, else
                2.
            callbacks: List of ``fastnn.callbacks``.
            validation_split: Share of the rows, the last ones, that are not trained on.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, an iterable of batches, or a
                data set of pictures.
            shuffle: Take the rows in a new random order each epoch; those of a data set of pictures
                only if it was made with ``shuffle=True``, too.
            class_weight: Class -> factor of its rows' loss.
            sample_weight: (N,), a factor of each row's loss. Not beside ``class_weight``.
            initial_epoch: Number of epochs done before.
            steps_per_epoch: Batches an epoch; with arrays, it takes as many passes as it needs.
            validation_steps: Batches of a validation.
            validation_batch_size: As ``batch_size``.
            validation_freq: Validate every so many epochs.
            distribution: ``distribution.DataParallel()``: the processes that ``mpirun`` started
                share each batch, and have the same weights. All call ``fit`` with the same.

        Returns:
            History: ``history`` has a list of values, one an epoch, for each of loss and metrics.

        Raises:
            TypeError, ValueError: Something in the data or arguments is wrong; nothing has changed.
            KeyboardInterrupt: Ctrl-C. The model is as the last whole step left it, ``history`` has
                the epochs that ended, and ``fit`` can be called again.
            ProcessError: Another process of ``distribution`` has failed.
        """
        with sharing.together(distribution) as processes:
            if isinstance(x, ImageDataset):
                if validation_split:
                    raise ValueError(
                        "fit: validation_split can't be taken from x, whose pictures may lie class "
                        "by class: give it to image_dataset_from_directory"
                    )
                shuffle = bool(shuffle) and x.shuffle
                x, y, batch_size = held_arrays("fit", x, y, batch_size)
            plan = Plan(
                batch_size=batch_size, epochs=epochs, shuffle=bool(shuffle),
                initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps, validation_batch_size=validation_batch_size,
                validation_freq=validation_freq,
            )  # fmt: skip
            check_verbose("fit", verbose)
            self._check_compiled()
            data = FitData(
                self, plan, x=x, y=y, sample_weight=sample_weight, class_weight=class_weight,
                validation_split=validation_split, validation_data=validation_data,
            )  # fmt: skip
            return Fit(self, plan, data, callbacks, verbose, processes).run()

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch.

        Returns:
            Loss and metrics of this batch, before the step; in the form of ``evaluate``.
        """
        dataset = self._batch(x, y, sample_weight, class_weight)
        return self._on_batch(dataset, self._updates(), return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics of one batch, in the form of ``evaluate``."""
        return self._on_batch(self._batch(x, y, sample_weight), None, return_dict)

    def _batch(self, x: Any, y: Any, *weights: Any) -> Dataset:
        self._check_compiled()
        return feed(self, x, y, *weights)

    def _on_batch(self, dataset: Dataset, updates: Updates | None, return_dict: bool) -> Any:
        totals = self._totals()
        run_pass(self, dataset, np.arange(len(dataset)), len(dataset), totals, updates)
        return _returned(totals.logs(whole=True), return_dict)

    # Evaluate and predict

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data. Arguments as ``fit``'s.

        Returns:
            The loss, or [loss, metric, ...]; with ``return_dict`` a dict by name.
        """
        logs = evaluate(self, x, y, batch_size, verbose, sample_weight, steps, callbacks)
        return _returned(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The model's outputs.

        Args:
            x: Array (N, ...), list of arrays for several inputs, an iterable of batches, or a data
                set of pictures: of these in the order of ``file_paths``.
            batch_size: Rows at a time; the result does not depend on it.
            verbose: 1 or 2 prints a line at the end. "auto" prints nothing, other than in Keras.
            steps: Batches to take.
            callbacks: List of ``fastnn.callbacks``, for their predict hooks.

        Returns:
            float32 array (N, ...), or a list of them for several outputs.

        Raises:
            TypeError, ValueError: Something in the data or arguments is wrong.
        """
        quiet = verbose == "auto" or verbose == 0
        if quiet and batch_size is None and steps is None and callbacks is None:
            outputs = predict_few(self, x)
            if outputs is not None:
                return outputs
        return predict(self, x, batch_size, verbose, steps, callbacks)

    def predict_on_batch(self, x: Any) -> Any:
        """The model's outputs for one batch."""
        return self.predict(x)


def _returned(logs: Logs, return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
