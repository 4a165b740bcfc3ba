"""Keras in float64, also where it would not be."""

from __future__ import annotations

from types import SimpleNamespace


def keep_float64() -> None:
    """GroupNormalization computes in the common type of its input's and float32, which in Keras
    3.15 is float32 for float64, too. Called with floatx at "float64"."""
    from keras.src.layers.normalization import group_normalization

    group_normalization.backend = SimpleNamespace(result_type=lambda *dtypes: "float64")
