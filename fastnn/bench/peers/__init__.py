"""The entrants by name. A library is imported only in the worker process that races it."""

from __future__ import annotations

import importlib
import importlib.util

from fastnn.bench.peers.base import Peer

# name -> (class beside this file, packages it needs)
_ENTRANTS = {
    "fastnn": ("fastnn_peer.FastnnPeer", ("fastnn",)),
    "jax": ("jax_peer.JaxPeer", ("jax",)),
    "torch": ("torch_peer.TorchPeer", ("torch",)),
    "torch_channels_last": ("torch_peer.ChannelsLastTorchPeer", ("torch",)),
    "keras": ("keras_peer.KerasPeer", ("keras",)),
    "sklearn": ("sklearn_peer.SklearnPeer", ("sklearn",)),
    "onnxruntime": ("onnx_peer.OnnxPeer", ("onnxruntime", "onnx")),
    "numpy": ("numpy_peer.NumpyPeer", ("numpy",)),
}
TRAINERS = ("fastnn", "jax", "torch", "torch_channels_last", "keras", "sklearn")
PREDICTORS = tuple(_ENTRANTS)
REFERENCES = ("jax", "torch")
"""The peers that are the fastest nearly always."""

KEEP_MEMORY = ("jax", "torch", "torch_channels_last", "keras")
"""Who is faster, or no slower, with an allocator that gives no memory back."""


def installed(names: tuple[str, ...], able: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``names`` whose packages are all importable.

    Raises:
        ValueError: a name is not among ``able``, the entrants that can do the job.
    """
    for name in names:
        if name not in able:
            raise ValueError(f"peers: {name!r} is not one of {', '.join(able)}")
    return tuple(name for name in names if all(map(importlib.util.find_spec, _ENTRANTS[name][1])))


def load(name: str) -> type[Peer]:
    """Import the entrant's library and return its class."""
    file, _, attribute = _ENTRANTS[name][0].partition(".")
    found: type[Peer] = getattr(importlib.import_module(f"{__name__}.{file}"), attribute)
    return found
