"""What weights come from: tensors by name, those of one layer together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tensor:
    """One array of the source, read when it is known to fit.

    Attributes:
        name: As the source has it.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]

    def values(self) -> NDArray[np.float32]:
        """The numbers.

        Raises:
            ValueError: They are none.
        """
        values = np.asarray(self.read())
        if values.dtype.kind not in "fiu" or values.shape != self.shape:
            raise ValueError(
                f"{self.name!r} must hold real numbers, got {values.dtype} of shape {values.shape}"
            )
        return values.astype(np.float32)


@dataclass(frozen=True)
class Module:
    """A layer of the source.

    Attributes:
        name: Its path in the source, "features.0" or "sequential/dense".
        tensors: By what they are to it: "kernel", "weight"; in files of Keras "0", "1", ...
        epsilon: What it adds to a variance, if it does and the source says so.
    """

    name: str
    tensors: dict[str, Tensor]
    epsilon: float | None = None


@dataclass(frozen=True)
class Source:
    """Where weights come from.

    Attributes:
        title: For messages.
        modules: Those that have tensors.
        is_torch: Whether names and layouts are PyTorch's; else Keras's, which are fastnn's.
        ordered: Whether the modules come in the order of the layers.
        counted: Whether a module's name is its class and a number, as in files of Keras, whatever
            the layer is called.
    """

    title: str
    modules: list[Module] = field(default_factory=list)
    is_torch: bool = False
    ordered: bool = True
    counted: bool = False


_COUNTERS = "num_batches_tracked"
"""What PyTorch's BatchNorm has beside its weights."""


def grouped(tensors: Iterable[Tensor]) -> list[Module]:
    """Modules of the tensors, whose names are "module/role" or "module.role"."""
    modules: list[Module] = []
    latest: dict[str, Module] = {}
    for tensor in tensors:
        *path, role = re.split(r"[./](?=[^./]*$)", tensor.name)
        if role == _COUNTERS:
            continue
        name = path[0] if path else ""
        # Models within a model may have layers of one name.
        if name not in latest or role in latest[name].tensors:
            latest[name] = Module(name, {})
            modules.append(latest[name])
        latest[name].tensors[role] = tensor
    return modules
