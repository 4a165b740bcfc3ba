"""Weights as PyTorch names and arranges them. PyTorch itself is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.importing.source import Source, Tensor, grouped


def from_module(module: Any) -> Source:
    """The weights of an ``nn.Module``."""
    source = from_state_dict(module.state_dict(), f"the {type(module).__name__}")
    modules = dict(module.named_modules())
    known = [
        replace(each, epsilon=getattr(modules.get(each.name), "eps", None))
        for each in source.modules
    ]
    return replace(source, modules=known)


def from_state_dict(tensors: Mapping[str, Any], title: str = "the state_dict") -> Source:
    """The weights of a ``state_dict``, or of a dict of arrays with such names.

    Raises:
        TypeError: It holds something else.
    """
    found = []
    for name, value in tensors.items():
        if not isinstance(name, str) or not hasattr(value, "shape"):
            raise TypeError(
                f"{title} must hold tensors by name, got {type(value).__name__} at {name!r:.80}"
            )
        shape = tuple(int(extent) for extent in value.shape)
        found.append(Tensor(name, shape, lambda value=value: _array(value)))  # type: ignore[misc]
    return Source(title, grouped(found), is_torch=True)


def _array(value: Any) -> NDArray[Any]:
    """``float`` because NumPy has no bfloat16."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    return np.asarray(value)
