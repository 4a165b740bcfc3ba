"""compile, fit, evaluate, predict: what a model does with data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.callbacks import History
from fastnn.data.arrays import as_rows, check_same_length
from fastnn.data.dataset import Dataset
from fastnn.data.targets import as_labels, as_targets, as_weights, class_weights
from fastnn.kernels.layout import aligned_zeros
from fastnn.lowering.lower import Updates
from fastnn.lowering.objective import Objective
from fastnn.models.compiled import Compiled, output_names
from fastnn.models.executables import Executables, run_batches, threads_for

if TYPE_CHECKING:
    from fastnn.graph import Node, SymbolicTensor
    from fastnn.losses import Loss
    from fastnn.optimizers import Optimizer
    from fastnn.variables import Variable

Logs = dict[str, float]

_PREDICT_ROWS = 256
"""Rows predicted or evaluated at a time where the caller does not say; results do not depend on it."""


class Trainer:
    """The half of a model that trains. ``Model`` is the other: layers, weights, shapes."""

    inputs: list[SymbolicTensor]
    outputs: list[SymbolicTensor]
    nodes: list[Node]
    weights: list[Variable]
    built: bool

    stop_training = False
    history: History | None = None
    _compiled: Compiled | None = None
    _slots: dict[Variable, list[NDArray[np.float32]]]
    _objectives: list[Objective] | None = None
    _running: tuple[NDArray[np.float64], int]

    def build(self, input_shape: Any = None) -> None:
        """Make the layers' weights; see ``Model``."""
        raise TypeError(f"{type(self).__name__} can't be built")

    # Compile

    def compile(
        self,
        optimizer: str | Optimizer | Mapping[str, Any] = "rmsprop",
        loss: Any = None,
        loss_weights: Sequence[float] | Mapping[str, float] | None = None,
        metrics: Any = None,
    ) -> None:
        """Settle how to train. Weights stay as they are; the optimizer begins anew.

        Args:
            optimizer: Name, or instance of ``fastnn.optimizers``.
            loss: Name or instance of ``fastnn.losses``; for several outputs a list or a dict by the
                name of the output's layer.
            loss_weights: A factor for each output's loss, likewise.
            metrics: A list of names or instances of ``fastnn.metrics``; for several outputs a list
                of lists or a dict.

        Raises:
            TypeError, ValueError: A name is unknown, or does not fit the outputs.
        """
        compiled = Compiled(optimizer, loss, loss_weights, metrics)
        objectives = compiled.objectives(self.outputs) if self.built else None
        self._compiled, self._objectives = compiled, objectives
        self._slots = {}
        self._executables().clear()
        self.reset_metrics()

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called."""
        return self._compiled is not None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to ``compile``."""
        return self._settled().optimizer

    @property
    def loss(self) -> Loss | list[Loss | None] | dict[str, Loss | None] | None:
        """The loss given to ``compile``."""
        return self._settled().loss

    @property
    def metrics_names(self) -> list[str]:
        """Names of what ``evaluate`` and ``train_on_batch`` return, in order."""
        return list(self._logs(np.zeros(self._n_sums()), 1))

    def _settled(self) -> Compiled:
        if self._compiled is None:
            raise ValueError("the model is not compiled: call compile(optimizer, loss) first")
        return self._compiled

    @property
    def _compile_config(self) -> dict[str, Any] | None:
        return None if self._compiled is None else self._compiled.config()

    def _executables(self) -> Executables:
        found: Executables | None = self.__dict__.get("_kept_executables")
        if found is None:
            found = self.__dict__["_kept_executables"] = Executables(self)
        return found

    def _training_objectives(self, weighted: bool) -> list[Objective]:
        if self._objectives is None:
            self._objectives = self._settled().objectives(self.outputs)
        if not any(o.loss for o in self._objectives):
            raise ValueError("the model has no loss: call compile(optimizer, loss)")
        for objective in self._objectives:
            objective.weighted = weighted and objective.loss is not None
        return self._objectives

    def _updates(self) -> Updates:
        """The optimizer's slots, made when training begins."""
        optimizer = self.optimizer
        for variable in self.weights:
            if variable.trainable and variable not in self._slots:
                self._slots[variable] = [
                    aligned_zeros(variable.storage.shape) for _ in optimizer.slots
                ]
        return Updates(optimizer.kernel, self._slots)

    def _training_state(self) -> dict[str, NDArray]:
        """What training needs to go on besides the weights, by name."""
        from fastnn.kernels.layout import unpack

        optimizer = self.optimizer
        state: dict[str, NDArray] = {"iterations": np.array(optimizer.iterations, np.int64)}
        for variable, slots in self._slots.items():
            for name, slot in zip(optimizer.slots, slots, strict=True):
                state[f"{variable.path}/{name}"] = unpack(slot, variable.shape)
        return state

    def _restore_training_state(self, state: Mapping[str, NDArray]) -> None:
        """Take back what ``_training_state`` gave; ValueError if it does not fit."""
        from fastnn.kernels.layout import pack

        optimizer = self.optimizer
        expected = {
            f"{variable.path}/{name}": (variable, number)
            for variable in self.weights
            for number, name in enumerate(optimizer.slots)
        }
        names = set(state) - {"iterations"}
        if not names <= set(expected) or "iterations" not in state:
            raise ValueError(f"optimizer state does not fit: {sorted(names - set(expected))}")
        for name in names:
            if state[name].shape != expected[name][0].shape:
                raise ValueError(f"optimizer state {name} has shape {state[name].shape}")
        iterations = np.asarray(state["iterations"])
        if iterations.size != 1 or iterations.dtype.kind not in "iu" or int(iterations.item()) < 0:
            raise ValueError("optimizer state 'iterations' is not a count")
        self._updates()
        for name in names:
            variable, number = expected[name]
            if variable in self._slots:
                pack(state[name], self._slots[variable][number])
        optimizer.iterations = int(iterations.item())

    # Results

    def _n_sums(self) -> int:
        return sum((o.loss is not None) + len(o.metrics) for o in self._objectives or [])

    def _logs(self, sums: NDArray[np.float64], n_rows: int) -> Logs:
        """Keras's names: loss, the outputs' losses, then metrics, by output where there are several."""
        means = iter((sums / max(n_rows, 1)).tolist())
        names = output_names(self.outputs)
        total = 0.0
        losses: Logs = {}
        metrics: Logs = {}
        for name, objective in zip(names, self._objectives or [], strict=False):
            if objective.loss is not None:
                value = next(means)
                total += objective.loss_weight * value
                losses[f"{name}_loss"] = value
            for metric in objective.metrics:
                metrics[metric.name if len(names) == 1 else f"{name}_{metric.name}"] = next(means)
        return {"loss": total} | (losses if len(names) > 1 else {}) | metrics

    def reset_metrics(self) -> None:
        """Forget what ``train_on_batch`` and ``test_on_batch`` have summed up."""
        self._running = (np.zeros(self._n_sums()), 0)

    # Data

    def _dataset(
        self, x: Any, y: Any = None, sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None, with_targets: bool = True,
    ) -> Dataset:  # fmt: skip
        """The user's data, checked against the model; builds the model if need be."""
        inputs = self._input_rows(x)
        lengths = {name: len(value) for name, value in inputs.items()}
        dataset = Dataset(list(inputs.values()))
        if not with_targets:
            check_same_length(lengths)
            return dataset
        objectives = self._training_objectives(False)
        given = self._by_output(y, "y", objectives)
        weights = self._by_output(sample_weight, "sample_weight", objectives, shared=True)
        for output, objective, name in zip(self.outputs, objectives, given, strict=True):
            if not objective.has_target:
                continue
            if given[name] is None:
                raise ValueError(f"{name} is missing: the loss of output {output.name!r} needs targets")
            shape = tuple(int(n) for n in output.shape[1:] if n is not None)
            if objective.takes_labels:
                target = as_labels(given[name], name, shape[-1])
            else:
                target = as_targets(given[name], name, shape)
            lengths[name] = len(target)
            dataset.targets.append(target)
        n_rows = check_same_length(lengths)
        if class_weight is not None and len(self.outputs) > 1:
            raise ValueError("class_weight is only for models with one output")
        for number, (output, weight) in enumerate(zip(self.outputs, weights.values(), strict=True)):
            if objectives[number].loss is None:
                continue
            weight = None if weight is None else as_weights(weight, "sample_weight", n_rows)
            if class_weight is not None:
                by_class = class_weights(class_weight, dataset.targets[0], output.shape[-1] or 1)
                weight = by_class if weight is None else weight * by_class
            dataset.weights.append(weight)
        return dataset

    def _input_rows(self, x: Any) -> dict[str, NDArray]:
        if not self.built:
            array = np.asarray(x)
            if array.ndim < 2:
                raise ValueError(f"x must have shape (N, ...), got {array.shape}")
            self.build((None, *array.shape[1:]))
        if len(self.inputs) == 1:
            if isinstance(x, dict):
                x = self._named(x, "x", [t.name for t in self.inputs])[0]
            elif isinstance(x, (list, tuple)) and len(x) == 1 and isinstance(x[0], np.ndarray):
                x = x[0]
            values = {"x": x}
        else:
            names = [tensor.name for tensor in self.inputs]
            if isinstance(x, dict):
                x = self._named(x, "x", names)
            if not isinstance(x, (list, tuple)) or len(x) != len(names):
                got = f"{len(x)} entries" if isinstance(x, (list, tuple)) else type(x).__name__
                raise ValueError(f"x must be a list of {len(names)} arrays for the inputs {names}, got {got}")
            values = {f"x[{i}]": value for i, value in enumerate(x)}
        return {
            name: as_rows(value, f"{name} (input {tensor.name!r})", tuple(int(n) for n in tensor.shape[1:]))  # type: ignore[arg-type]
            for (name, value), tensor in zip(values.items(), self.inputs, strict=True)
        }

    @staticmethod
    def _named(values: Mapping[str, Any], argument: str, names: list[str]) -> list[Any]:
        if set(values) != set(names):
            raise ValueError(f"{argument} must have the keys {names}, got {sorted(map(str, values))}")
        return [values[name] for name in names]

    def _by_output(self, value: Any, argument: str, objectives: list[Objective],
                   shared: bool = False) -> dict[str, Any]:
        """``value`` for each output, by a name for messages."""
        names = output_names(self.outputs)
        if len(names) == 1:
            if isinstance(value, dict):
                value = self._named(value, argument, names)[0]
            elif isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], np.ndarray):
                value = value[0]
            return {argument: value}
        if value is None:
            return {f"{argument}[{i}]": None for i in range(len(names))}
        if isinstance(value, dict):
            if not set(value) <= set(names):
                raise ValueError(f"{argument} must have keys of {names}, got {sorted(map(str, value))}")
            value = [value.get(name) for name in names]
        if shared and isinstance(value, np.ndarray):
            value = [value] * len(names)
        if not isinstance(value, (list, tuple)) or len(value) != len(names):
            got = f"{len(value)} entries" if isinstance(value, (list, tuple)) else type(value).__name__
            raise ValueError(f"{argument} must be a list of {len(names)}, one for each output {names}, got {got}")
        return {f"{argument}[{i}]": item for i, item in enumerate(value)}

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
    ) -> History:
        """Train for ``epochs`` passes over the data. Arguments and results are Keras 3's.

        Args:
            x: Array (N, ...), list of arrays for several inputs, or an iterable of batches
                ``(x, y)`` or ``(x, y, sample_weight)``.
            y: Targets; integer labels (N,) for the sparse losses.
            batch_size: Rows a step, 32 by default. The last step of an epoch takes what is left.
            epochs: Number of the last epoch.
            verbose: 0 silent; 1 a progress bar; 2 a line an epoch; "auto" is 1 on a terminal, else 2.
            callbacks: List of ``fastnn.callbacks``.
            validation_split: Share of the rows, the last ones, that are not trained on.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, or an iterable of batches.
            shuffle: Take the rows in a new random order each epoch.
            class_weight: Class -> factor of its rows' loss.
            sample_weight: (N,), a factor of each row's loss.
            initial_epoch: Number of epochs done before.
            steps_per_epoch: Batches an epoch; with arrays, the epochs share one pass.
            validation_steps: Batches of a validation.
            validation_batch_size: As ``batch_size``.
            validation_freq: Validate every so many epochs.

        Returns:
            History: ``history`` has a list of values, one an epoch, for each of loss and metrics.

        Raises:
            TypeError, ValueError: Something in the data or arguments is wrong; nothing has changed.
            KeyboardInterrupt: The model keeps what it has learned, ``model.history`` what was noted.
        """
        from fastnn.models.fitting import Fit

        return Fit(
            self, x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle,
            class_weight, sample_weight, initial_epoch, steps_per_epoch, validation_steps,
            validation_batch_size, validation_freq,
        ).run()  # fmt: skip

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None, return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """One step on one batch.

        Returns:
            Loss and metrics as ``evaluate``; as in Keras 3 they are means over all batches since
            ``reset_metrics``, ``compile`` or ``fit``.
        """
        dataset = self._dataset(x, y, sample_weight, class_weight)
        return self._on_batch(dataset, self._updates(), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: ArrayLike | None = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics of one batch; returns as ``train_on_batch``."""
        return self._on_batch(self._dataset(x, y, sample_weight), None, return_dict)

    def _on_batch(self, dataset: Dataset, updates: Updates | None, return_dict: bool) -> Any:
        sums, n_rows = self._running
        if len(sums) != self._n_sums():
            sums, n_rows = np.zeros(self._n_sums()), 0
        self._pass(dataset, np.arange(len(dataset)), len(dataset), sums, updates)
        self._running = (sums, n_rows + len(dataset))
        return self._returned(self._logs(*self._running), return_dict)

    def _pass(self, dataset: Dataset, order: NDArray[np.int64], batch_size: int, sums: NDArray[np.float64],
              updates: Updates | None, **hooks: Any) -> int:
        """Train on, or evaluate, the rows ``order`` of a data set; adds to ``sums``. Returns batches."""
        objectives = self._training_objectives(dataset.weighted)
        nonzeros = {i: rows.longest_row for i, rows in dataset.nonzeros.items()}
        key, executable = self._executables().take(batch_size, objectives, updates, nonzeros)
        scalars = None
        if updates is not None:
            optimizer = self.optimizer
            done = 0

            def scalars(steps: int) -> NDArray[np.float32]:
                iterations = optimizer.iterations + np.arange(steps, dtype=np.int64)
                rates = optimizer.learning_rates(iterations)
                rows = optimizer.scalars(iterations, rates)
                padded = np.zeros((steps, 8), np.float32)
                padded[:, : rows.shape[1]] = rows
                return padded

            after_user = hooks.pop("after", None)

            def after(batches: int, rows: int) -> bool:
                nonlocal done
                optimizer.iterations += batches - done
                done = batches
                return bool(after_user and after_user(batches, rows))

            hooks["after"] = after
        threads = threads_for(min(batch_size, len(order)) * self._multiply_adds())
        try:
            return run_batches(
                executable, dataset.sources(), order, batch_size, sums, [], threads, scalars=scalars, **hooks
            )
        finally:
            self._executables().give_back(key, executable)

    def _multiply_adds(self) -> int:
        return sum(variable.size for variable in self.weights)

    # Evaluate and predict

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None, steps: int | None = None, callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """Loss and metrics on data. Arguments as ``fit``'s.

        Returns:
            The loss, or [loss, metric, ...]; with ``return_dict`` a dict by name.
        """
        from fastnn.models.fitting import evaluate

        logs = evaluate(self, x, y, batch_size, verbose, sample_weight, steps, callbacks)
        return self._returned(logs, return_dict)

    @staticmethod
    def _returned(logs: Logs, return_dict: bool) -> Any:
        if return_dict:
            return logs
        values = list(logs.values())
        return values[0] if len(values) == 1 else values

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: str | int = "auto",
        steps: int | None = None, callbacks: Any = None,
    ) -> Any:  # fmt: skip
        """The model's outputs.

        Args:
            x: Array (N, ...), list of arrays for several inputs, or an iterable of batches.
            batch_size: Rows at a time; the result does not depend on it.
            verbose: Taken for Keras's sake; prediction prints nothing.
            steps: Batches to take of an iterable.
            callbacks: List of ``fastnn.callbacks``, for their predict hooks.

        Returns:
            float32 array (N, ...), or a list of them for several outputs.
        """
        from fastnn.models.fitting import predict

        return predict(self, x, batch_size, steps, callbacks)

    def predict_on_batch(self, x: Any) -> Any:
        """The model's outputs for one batch."""
        return self.predict(x)
