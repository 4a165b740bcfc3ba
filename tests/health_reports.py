"""Reports as ``diagnose`` could give them, made up: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, nan, sin
from typing import Any

from fastnn.health.report import LayerReport, Remedy, Report, Trial
from fastnn.statistics import LayerStatistics, StepStatistics

STEPS = 40


def never() -> Any:
    raise AssertionError("showing a report applied a remedy")


def wobble(i: int, step: int) -> float:
    return 1 + 0.2 * sin(1.3 * i + 0.9 * step) + 0.1 * sin(2.9 * step + i * i)


def statistics(
    names: list[str],
    rms: Callable[[int, int], float],
    activation: str,
    n_steps: int = STEPS,
    **figures: Any,
) -> tuple[StepStatistics, ...]:
    """``rms(i, step)`` is the gradient of layer i; 64 x 64 weights each."""

    def layer(i: int, step: int) -> LayerStatistics:
        gradient = rms(i, step) * wobble(i, step)
        last = i == len(names) - 1
        return LayerStatistics(
            name=names[i],
            gradient_norm=gradient * 64.5,
            gradient_max=gradient * 5,
            gradient_size=64 * 65,
            weight_norm=8.0,
            update_ratio=min(1e-3, gradient * 3) * wobble(step, i),
            activation="softmax" if last else activation,
            **({"mean": 0.1, "deviation": 0.02 + 0.002 * step} if last else figures),
        )

    return tuple(
        StepStatistics(step, {name: layer(i, step) for i, name in enumerate(names)})
        for step in range(n_steps)
    )


def dense_names(n: int) -> list[str]:
    return ["dense", *(f"dense_{i}" for i in range(1, n))]


def curve(start: float, end: float, speed: float, n: int = STEPS) -> tuple[float, ...]:
    return tuple(
        end + (start - end) * exp(-speed * step) * wobble(3, step) ** 0.3 + 0.02 * wobble(5, step)
        for step in range(n)
    )


def vanishing(n: int = 12, names: list[str] | None = None) -> Report:
    names = names or dense_names(n)
    n = len(names)
    steps = statistics(
        names,
        lambda i, step: 10.0 ** (-2 - 0.62 * (n - 1 - i)),
        "sigmoid",
        mean=0.5,
        deviation=0.04,
        zeros=0.0,
        dead=0.0,
        saturated=0.02,
    )
    cured = statistics(
        names,
        lambda i, step: 10.0 ** (-2.2 - 0.03 * (n - 1 - i) - 0.01 * step),
        "relu",
        mean=0.42,
        deviation=0.61,
        zeros=0.49,
        dead=0.0,
    )
    cause = (
        "sigmoid passes on at most a quarter of a gradient, and Glorot weights of deviation 0.12 "
        "do not make up for it: its gradient is {:.1e} of the last layer's."
    )
    reports = tuple(
        LayerReport(
            name,
            "Dense",
            "vanishing" if i < n - 3 else "healthy",
            cause.format(10.0 ** (-0.62 * (n - 1 - i))) if i < n - 3 else "",
            {"gradient_ratio": 10.0 ** (-0.62 * (n - 1 - i))} if i < n - 3 else {},
        )
        for i, name in enumerate(names)
    )
    return Report(
        "vanishing",
        "The gradient of the first layer is 1.5e-07 of the last's: each sigmoid on the way takes "
        "three quarters of it or more. The first nine layers stay as they were initialized.",
        reports,
        (
            Remedy(
                "activation",
                "ReLU in place of sigmoid in the 11 hidden layers, with He normal initialization",
                Trial(curve(2.45, 0.52, 0.11), 0.561, 0.834, 0.47, None, cured),
                True,
                never,
            ),
            Remedy(
                "residual",
                "Residual connections around each pair of hidden layers",
                Trial(curve(2.6, 0.66, 0.07), 0.702, 0.781, 0.21),
                True,
                never,
            ),
            Remedy(
                "batch_normalization",
                "BatchNormalization before each activation",
                Trial(curve(2.4, 1.13, 0.05), 1.204, 0.617, 0.082),
                True,
                never,
            ),
            Remedy(
                "learning_rate",
                "Learning rate 0.01 in place of 0.001",
                Trial(curve(2.4, 2.29, 0.2), 2.312, 0.1135, 1.6e-07),
                False,
                never,
            ),
            Remedy(
                "clipping",
                "Clipping of the gradient by its global norm, at 1",
                Trial(curve(2.4, 2.30, 0.3, 7), error="NonFiniteGradientError: step 7, dense_3"),
                False,
                never,
            ),
            Remedy("dropout", "Dropout of 0.2 before each hidden layer", None, False, never),
        ),
        Trial(curve(2.42, 2.295, 0.3), 2.302, 0.1135, 1.5e-07, None, steps, batch_size=128),
        model_name="sequential",
    )


def exploding() -> Report:
    """Layers that blow up until training breaks off; figures of all kinds are infinite or NaN."""
    names = dense_names(8)
    steps = list(
        statistics(
            names,
            lambda i, step: 10.0 ** (0.9 * (7 - i) + 2.5 * step - 3),
            "relu",
            n_steps=9,
            mean=3.0,
            deviation=40.0,
            zeros=0.4,
        )
    )
    bad = {
        name: LayerStatistics(
            name, inf if i % 2 else nan, inf, 4160, inf, nan, 7 + i, "relu", nan, inf, nan, nan, nan
        )
        for i, name in enumerate(names)
    }
    steps.append(StepStatistics(9, bad))
    reports = tuple(
        LayerReport(
            name,
            "Dense",
            "nonfinite" if i == 0 else "exploding",
            "weights of deviation 1 double the gradient in each layer",
            {"gradient_ratio": inf, "growth": nan},
        )
        for i, name in enumerate(names)
    )
    losses = (2.3, 40.0, 5e4, 1e9, 1e14, 1e20, 1e26, 1e30, inf, nan)
    error = "NonFiniteGradientError: the gradient of dense is not finite in step 9"
    return Report(
        "exploding",
        "Each layer makes the gradient larger.",
        reports,
        (
            Remedy("initialization", "He normal", Trial(curve(2.3, 0.5, 0.1), 0.5), True, never),
            Remedy("clipping", "clipnorm=1", Trial((2.3, nan), error="broke"), False, never),
        ),
        Trial(losses, gradient_ratio=inf, error=error, steps=tuple(steps)),
    )


def healthy(n: int = 3) -> Report:
    names = dense_names(n)
    steps = statistics(
        names, lambda i, step: 2e-3, "relu", mean=0.4, deviation=0.6, zeros=0.5, dead=0.0
    )
    layers = tuple(LayerReport(name, "Dense", "healthy") for name in names)
    flatten = LayerReport("flatten", "Flatten", "healthy")
    trial = Trial(curve(2.3, 0.4, 0.15), 0.41, 0.88, 0.9, None, steps, batch_size=32)
    return Report("healthy", "", (flatten, *layers), (), trial, "mnist")


def one_layer() -> Report:
    steps = statistics(["dense"], lambda i, step: 1e-2, "relu", n_steps=1)
    layer = LayerReport("dense", "Dense", "healthy")
    return Report("healthy", "", (layer,), (), Trial((2.3,), 2.2, steps=steps))


def empty() -> Report:
    """Nothing could be seen at all."""
    return Report("loss_mismatch", "The labels are no classes.", (), (), Trial(()))


def long(ill: set[int], n: int = 50) -> Report:
    """``n`` layers with names that fit no column; those of ``ill`` are dead."""
    names = [f"encoder_block_with_a_very_long_name_{i}" for i in range(n)]
    steps = statistics(
        names,
        lambda i, step: 0.0 if i in ill else 1e-7,
        "relu",
        mean=-1.2e-7,
        deviation=1.1e-12,
        zeros=1.0,
        dead=1.0,
    )
    layers = tuple(
        LayerReport(
            name,
            "BatchNormalization",
            "dead" if i in ill else "healthy",
            "its inputs are all negative" if i in ill else "",
        )
        for i, name in enumerate(names)
    )
    return Report("dead", "cause " * 60, layers, (), Trial((1.0, 2.0), 1.5, 0.5, 1e-7, None, steps))


ALL = {
    "vanishing": vanishing,
    "exploding": exploding,
    "healthy": healthy,
    "one layer": one_layer,
    "empty": empty,
    "fifty layers": lambda: long({3, 20, 21}),
    "fifty dead layers": lambda: long(set(range(50))),
}
