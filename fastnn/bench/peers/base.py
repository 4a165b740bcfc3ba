"""The one interface behind which every library does the same job."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastnn.bench import nets

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
        net: its name; see ``fastnn.bench.nets``. Softmax cross-entropy is at its end.
        batch: rows per step.
        x: path of a ``.npy`` file, float32 (rows, ...).
        y: path of a ``.npy`` file, int32 labels (rows,).
        rows: use only the first so many.
        mapped: memory-map x instead of reading it.
        batch_norm: batch normalization between each hidden layer's product and its ReLU, where the
            net has none by itself.
        global_clipnorm: where given, the most that the norm of all gradients together may be.
        dropout: share of each hidden layer's outputs that is dropped at a step.
    """

    data: str
    net: str
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

    @cached_property
    def layers(self) -> tuple[nets.Layer, ...]:
        """From input to logits."""
        return nets.build(self.net, self.batch_norm, self.dropout)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input: features, or height, width and channels."""
        return nets.shape(self.net)

    @property
    def pictures(self) -> bool:
        """Whether the inputs are."""
        return len(self.shape) > 1

    @property
    def normalized(self) -> bool:
        """Whether it has BatchNorm, its own or the job's."""
        return any(isinstance(layer, nets.Norm) for layer in nets.every(self.layers))

    @property
    def steps(self) -> int:
        """Steps in an epoch; the last batch may be smaller."""
        return -(-self.rows // self.batch)

    @property
    def kernel_weights(self) -> int:
        """Numbers in all kernels."""
        return sum(math.prod(layer.kernel) for layer in nets.weighted(self.layers))

    @property
    def macs(self) -> int:
        """Multiply-adds of the products of one example's forward pass."""
        return sum(layer.macs for layer in nets.weighted(self.layers))

    @property
    def flops(self) -> int:
        """Floating-point operations in the products of one full step (multiply-add = 2).

        Of convolutions all three products are counted, as is usual, though nobody needs the
        gradient of the pictures.
        """
        first = 0 if self.pictures else nets.weighted(self.layers)[0].macs
        return 2 * self.batch * (3 * self.macs - first)

    def flops_without_zeros(self) -> int:
        """The same without the products with zeros of the inputs, on average over the rows."""
        x = np.load(self.x, mmap_mode="r")[: self.rows]
        zeros: float = 1 - np.count_nonzero(x) / x.size
        return self.flops - round(4 * self.batch * nets.weighted(self.layers)[0].macs * zeros)


def start_weights(layers: tuple[nets.Layer, ...], seed: int = 1) -> list[np.ndarray]:
    """Float32, in order: of each layer with a kernel the Glorot-uniform kernel, and where it has
    one the bias, zero. BatchNorm begins at gamma 1 and beta 0."""
    rng = np.random.default_rng(seed)
    weights: list[np.ndarray] = []
    for layer in nets.weighted(layers):
        *window, inputs, units = layer.kernel
        limit = np.sqrt(6.0 / (math.prod(window) * (inputs + units)))
        weights.append(rng.uniform(-limit, limit, layer.kernel).astype(np.float32))
        if isinstance(layer, nets.Dense) or layer.bias:
            weights.append(np.zeros(units, np.float32))
    return weights


class Peer(ABC):
    """One library ready to do one job.

    What the constructor does is not timed: data and starting weights go there into whatever form
    the library likes best.

    Attributes:
        remedies: the fields of ``Job.remedies`` that it can do.
        convolves: whether it can do nets for pictures.

    Args:
        job: what to do.
        threads: as many the library may use.
        x: the job's rows, float32 (rows, ...).
        y: their labels, int32 (rows,).
    """

    remedies: frozenset[str] = frozenset()
    convolves: bool = False

    def __init__(self, job: Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        self.job = job
        self.threads = threads
        self.x = x
        self.y = y

    @abstractmethod
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities, NumPy float32 (rows, classes), of what ``arranged`` made of rows."""

    def arranged(self, x: np.ndarray) -> np.ndarray:
        """NumPy float32 rows (rows, ...) with their axes in the order that ``predict`` likes
        best; who asks for predictions is taken to have them so."""
        return x

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """The library, and its version."""

    @classmethod
    def lacks(cls, job: Job) -> list[str]:
        """What the job has and this library cannot do, by its name in the reports."""
        lacking = [name for field, name in job.remedies.items() if field not in cls.remedies]
        if job.pictures and not cls.convolves:
            lacking.append("convolutions")
        return lacking

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
