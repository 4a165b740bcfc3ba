"""Reference cases that run on Keras and on fastnn alike, and what Keras made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reference import (
    cases_clipping,
    cases_embeddings,
    cases_fit,
    cases_layers,
    cases_losses,
    cases_norms,
    cases_optimizers,
    cases_pictures,
)
from reference.protocol import CASES, Run, execute

__all__ = ["Reference", "Run", "execute", "select"]

_MODULES = (
    cases_layers, cases_losses, cases_optimizers, cases_fit, cases_norms, cases_clipping,
    cases_pictures, cases_embeddings,
)  # fmt: skip


def select(prefixes: list[str]) -> list[str]:
    """Names of the cases that start with one of ``prefixes``; all of them for none."""
    return [name for name in CASES if not prefixes or name.startswith(tuple(prefixes))]


class Reference:
    """The recorded results: see ``make_keras_reference.py`` for the files."""

    def __init__(self, *paths: Path) -> None:
        self.origins: list[dict[str, str]] = []
        self._cases: dict[str, dict] = {}
        self._vectors: dict[str, tuple[NDArray, NDArray]] = {}
        for path in paths:
            with np.load(path) as arrays:
                index = json.loads(str(arrays["index"]))
                vectors = arrays["float32"], arrays["float64"]
            twice = index["cases"].keys() & self._cases.keys()
            assert not twice, f"{path} repeats {sorted(twice)}"
            self.origins.append(index["origin"])
            self._cases |= index["cases"]
            self._vectors |= dict.fromkeys(index["cases"], vectors)

    @property
    def names(self) -> list[str]:
        """Names of the recorded cases."""
        return list(self._cases)

    def digest(self, name: str) -> int:
        """CRC-32 of the inputs that the case was recorded with."""
        return self._cases[name]["digest"]

    def results(self, name: str) -> dict[str, tuple[NDArray, NDArray]]:
        """(Keras in float32, Keras in float64) by key of what the case records."""
        return {
            key: tuple(
                vector[offset : offset + int(np.prod(shape))].reshape(shape)
                for vector in self._vectors[name]
            )
            for key, (offset, shape) in self._cases[name]["results"].items()
        }
