"""The one interface behind which every library does the same job."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

LEARNING_RATE = 1e-3
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-7
NORM_MOMENTUM = 0.99
"""Share that BatchNorm's moving statistics keep at a step: Keras's momentum, 1 - PyTorch's."""
NORM_EPSILON = 1e-3
REMEDIES = frozenset({"batch_norm", "global_clipnorm", "dropout"})
"""All that a job may have beside its layers."""


@dataclass(frozen=True)
class Job:
    """A net to train or to predict with, and the data to do it on.

    Attributes:
        data: kind of data, for the reports.
        widths: of the layers from input to output, e.g. ``(784, 512, 10)``; ReLU between them,
            softmax cross-entropy at the end.
        batch: rows per step.
        x: path of a ``.npy`` file, float32 (rows, widths[0]).
        y: path of a ``.npy`` file, int32 labels (rows,).
        rows: use only the first so many.
        mapped: memory-map x instead of reading it.
        batch_norm: batch normalization between each hidden layer's product and its ReLU.
        global_clipnorm: where given, the most that the norm of all gradients together may be.
        dropout: share of each hidden layer's outputs that is dropped at a step.
    """

    data: str
    widths: tuple[int, ...]
    batch: int
    x: str
    y: str
    rows: int
    mapped: bool = False
    batch_norm: bool = False
    global_clipnorm: float | None = None
    dropout: float = 0.0

    @property
    def remedies(self) -> dict[str, str]:
        """What the job has beside its layers: field -> its name in the reports."""
        found = {}
        if self.batch_norm:
            found["batch_norm"] = "BatchNorm"
        if self.global_clipnorm is not None:
            found["global_clipnorm"] = f"clip {self.global_clipnorm:g}"
        if self.dropout:
            found["dropout"] = f"Dropout {self.dropout:g}"
        return found

    @property
    def title(self) -> str:
        """All in a line, for messages."""
        return " ".join([self.data, self.net, *self.remedies.values(), f"batch {self.batch}"])

    @property
    def net(self) -> str:
        """The widths as text, e.g. ``784-512-10``."""
        return "-".join(map(str, self.widths))

    @property
    def steps(self) -> int:
        """Steps in an epoch; the last batch may be smaller."""
        return -(-self.rows // self.batch)

    @property
    def kernel_weights(self) -> int:
        """Numbers in all kernels."""
        return sum(a * b for a, b in itertools.pairwise(self.widths))

    @property
    def flops(self) -> int:
        """Floating-point operations in the products of one full step (multiply-add = 2)."""
        first = self.widths[0] * self.widths[1]
        return 2 * self.batch * (3 * self.kernel_weights - first)

    def flops_without_zeros(self) -> int:
        """The same without the products with zeros of the inputs, on average over the rows."""
        x = np.load(self.x, mmap_mode="r")[: self.rows]
        zeros: float = 1 - np.count_nonzero(x) / x.size
        return self.flops - round(4 * self.batch * self.widths[0] * self.widths[1] * zeros)


def start_weights(widths: tuple[int, ...], seed: int = 1) -> list[np.ndarray]:
    """Glorot-uniform kernels (in, out) and zero biases (out,) in turn, float32."""
    rng = np.random.default_rng(seed)
    weights: list[np.ndarray] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        limit = np.sqrt(6.0 / (fan_in + fan_out))
        weights.append(rng.uniform(-limit, limit, (fan_in, fan_out)).astype(np.float32))
        weights.append(np.zeros(fan_out, np.float32))
    return weights


class Peer(ABC):
    """One library ready to do one job.

    What the constructor does is not timed: data and starting weights go there into whatever form
    the library likes best.

    Attributes:
        remedies: the fields of ``Job.remedies`` that it can do.

    Args:
        job: what to do.
        threads: as many the library may use.
        x: the job's rows, float32 (rows, features).
        y: their labels, int32 (rows,).
    """

    remedies: frozenset[str] = frozenset()

    def __init__(self, job: Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        self.job = job
        self.threads = threads
        self.x = x
        self.y = y

    @abstractmethod
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities, NumPy float32 (rows, classes), of NumPy float32 rows (rows, features)."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """The library, and its version."""

    @classmethod
    def lacks(cls, job: Job) -> list[str]:
        """What the job has and this library cannot do, by its name in the reports."""
        return [name for field, name in job.remedies.items() if field not in cls.remedies]

    def skips_zeros(self) -> bool:
        """Whether it leaves out the products with the zeros of this job's inputs."""
        return False

    def close(self) -> None:  # noqa: B027 (most have nothing to do)
        """End whatever outlives a call."""


class Trainer(Peer):
    """A peer that can train, always with Adam(1e-3) and Keras's epsilon."""

    @abstractmethod
    def epoch(self) -> float:
        """Train one full shuffled epoch, wait for its end, return the mean loss over its rows."""

    @abstractmethod
    def losses(self, count: int) -> list[float]:
        """Train on the first ``count`` batches in order; the loss of each before its update."""
