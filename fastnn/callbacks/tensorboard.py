"""The logs and weights for TensorBoard."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_flag, check_integer
from fastnn.callbacks.base import Callback, Logs, is_of_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BUCKETS = 30
"""Of a histogram, as TensorFlow makes them."""


class TensorBoard(Callback):
    """Write event files that TensorBoard shows: ``tensorboard --logdir logs``. Keras 3's names,
    directories and steps.

    - ``train/``: ``epoch_loss`` and so on for each log of an epoch, and ``epoch_learning_rate``, by
      epoch; figures of layers such as ``dense/gradient_norm``, which TensorBoard then groups by
      layer, have no ``epoch_``.
    - ``validation/``: the same of the validation; and ``evaluation_loss_vs_iterations`` and so on,
      by the optimizer's steps, of each validation and ``evaluate``.

    It needs the package tensorboardX, the extra ``tensorboard``, to write, not TensorBoard itself.
    Keras's ``write_graph`` (there is no graph of TensorFlow), ``write_images``, ``profile_batch``,
    ``embeddings_freq`` and ``embeddings_metadata`` aren't there. A file is written and flushed when
    an epoch or evaluation ends, not by a thread beside. Every epoch is written; with an integer
    ``update_freq``, Keras leaves out those that don't end with a batch that is.

    Args:
        log_dir: The directory, which is made; no other callback's.
        histogram_freq: Every how many epochs, from the first on, the distribution of each weight is
            written as ``dense/kernel/histogram``, of its finite values; 0 for never.
        write_steps_per_second: Write ``epoch_steps_per_second`` too, and, unless ``update_freq`` is
            "epoch", ``batch_steps_per_second``.
        update_freq: "epoch", "batch", or every how many batches ``batch_loss`` and so on are
            written, the means of the epoch so far, by batch, counted from 1 when ``fit`` begins.
            Other than "epoch" brings training back to Python after every batch.

    Raises:
        ImportError: tensorboardX is not installed.
        TypeError, ValueError: An argument is not what it must be.
    """

    only_first_process = True

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        *,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
    ) -> None:
        owner = type(self).__name__
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = check_integer(owner, "histogram_freq", histogram_freq, at_least=0)
        self.write_steps_per_second = check_flag(
            owner, "write_steps_per_second", write_steps_per_second
        )
        if isinstance(update_freq, str) and update_freq not in ("epoch", "batch"):
            raise ValueError(
                f"{owner}: update_freq must be 'epoch', 'batch' or an integer >= 1, got "
                f"{update_freq!r}"
            )
        self.update_freq = update_freq
        if update_freq != "epoch":
            every = 1 if update_freq == "batch" else update_freq
            self._every = check_integer(owner, "update_freq", every, at_least=1)
            # On the instance: a batch hook on the class would slow down every other TensorBoard.
            self.on_train_batch_end = self._write_batch  # type: ignore[method-assign]
            if write_steps_per_second:
                self.on_train_batch_begin = self._start_clock  # type: ignore[method-assign]
        _events()
        self._files: dict[str, EventFile] = {}
        self._in_fit = False
        self._batches = 0
        self._batch_begun = self._epoch_begun = 0.0
        self._steps_before = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin new files."""
        self._close()
        self._in_fit = True
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock."""
        self._epoch_begun = time.perf_counter()
        self._steps_before = self.model.optimizer.iterations

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the logs, and the weights if it is time."""
        logs = dict(logs or {})
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            steps = self.model.optimizer.iterations - self._steps_before
            logs["steps_per_second"] = steps / (time.perf_counter() - self._epoch_begun)
        for name, value in logs.items():
            validated = name.startswith("val_")
            name = name.removeprefix("val_")
            tag = name if is_of_layer(name) else f"epoch_{name}"
            self._file("validation" if validated else "train").scalar(tag, value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for variable in self.model.weights:
                tag = f"{variable.path}/histogram"
                self._file("train").histogram(tag, variable.numpy(), epoch)
        self._flush()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Write the logs by the optimizer's steps."""
        for name, value in (logs or {}).items():
            tag = f"evaluation_{name}_vs_iterations"
            self._file("validation").scalar(tag, value, self.model.optimizer.iterations)
        if self._in_fit:
            self._flush()
        else:
            self._close()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        self._in_fit = False
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """Batches since ``fit`` began. What was written after a backup is there twice, with the
        same steps and values, when training has gone on from that."""
        return {"batches": self._batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on."""
        self._batches = state["batches"]

    def _start_clock(self, batch: int, logs: Logs | None = None) -> None:
        self._batch_begun = time.perf_counter()

    def _write_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self._batches % self._every:
            return
        logs = dict(logs or {})
        if self.write_steps_per_second:
            logs["steps_per_second"] = 1.0 / (time.perf_counter() - self._batch_begun)
        for name, value in logs.items():
            self._file("train").scalar(f"batch_{name}", value, self._batches)

    def _file(self, part: str) -> EventFile:
        if part not in self._files:
            self._files[part] = EventFile(os.path.join(self.log_dir, part))
        return self._files[part]

    def _flush(self) -> None:
        for file in self._files.values():
            file.flush()

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __del__(self) -> None:
        # A fit that was cut off had no on_train_end.
        if hasattr(self, "_files"):
            self._close()


class EventFile:
    """A new file of events in ``directory``, which is made."""

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, exist_ok=True)
        # The name has only seconds: of two fits within one, the second would replace the first.
        suffix = f".{os.getpid()}.{os.urandom(4).hex()}"
        writer, self._event, self._summary = _events()
        self._writer = writer(os.path.join(directory, "events"), suffix)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A number, kept as float32."""
        self._write(step, self._summary.Value(tag=tag, simple_value=value))

    def histogram(self, tag: str, values: NDArray[np.float32], step: int) -> None:
        """The finite ones of ``values`` in ``_BUCKETS`` buckets; nothing, if there are none."""
        finite = values[np.isfinite(values)].astype(np.float64)
        if not finite.size:
            return
        counts, edges = np.histogram(finite, _BUCKETS)
        proto = type(self._summary.Value().histo)(
            min=finite.min(), max=finite.max(), num=finite.size, sum=finite.sum(),
            sum_squares=np.square(finite).sum(), bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )  # fmt: skip
        self._write(step, self._summary.Value(tag=tag, histo=proto))

    def flush(self) -> None:
        """Bring to disk what was written."""
        self._writer.flush()

    def close(self) -> None:
        """Flush; nothing can be written then."""
        self._writer.close()

    def _write(self, step: int, value: Any) -> None:
        event = self._event(wall_time=time.time(), step=step, summary=self._summary(value=[value]))
        self._writer.write_event(event)


def _events() -> tuple[Any, Any, Any]:
    """A writer of event files, and the messages Event and Summary."""
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError as fault:
        raise ImportError(
            "callbacks.TensorBoard needs tensorboardX: pip install fastnn[tensorboard]"
        ) from fault
    return EventsWriter, Event, Summary
