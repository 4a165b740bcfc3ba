"""The net that a command is told to build."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fastnn.cli.problem import Problem

if TYPE_CHECKING:
    from fastnn.models import Model, Sequential
    from fastnn.optimizers import Optimizer

DEFAULTS: dict[str, Any] = {"layers": [512], "activation": "relu", "initializer": "glorot_uniform"}
"""What ``--layers`` and so on are where nobody says."""


def add_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The options of a net; returns their group."""
    group = parser.add_argument_group("the network")
    group.add_argument(
        "--layers",
        type=_widths,
        default=DEFAULTS["layers"],
        metavar="N,N,...",
        help="widths of the hidden layers, such as 512,256, or 12x64 for twelve of 64; 0 for none "
        "(default: 512)",
    )
    group.add_argument(
        "--activation",
        default=DEFAULTS["activation"],
        metavar="NAME",
        help="of the hidden layers (default: %(default)s)",
    )
    group.add_argument(
        "--initializer",
        default=DEFAULTS["initializer"],
        metavar="NAME",
        help="of the weights (default: %(default)s)",
    )
    return group


def build(problem: Problem, arguments: argparse.Namespace) -> Sequential:
    """The net, not compiled."""
    import fastnn
    from fastnn import layers

    x = problem.x
    model = fastnn.Sequential([layers.Input(x.shape[1:])])
    if x.dtype == "uint8":
        model.add(layers.Rescaling(1 / 255))
    if x.ndim > 2:
        model.add(layers.Flatten())
    for width in arguments.layers:
        model.add(
            layers.Dense(
                width, activation=arguments.activation, kernel_initializer=arguments.initializer
            )
        )
    model.add(
        layers.Dense(
            problem.n_outputs,
            activation="softmax" if problem.task == "classification" else None,
            kernel_initializer=arguments.initializer,
        )
    )
    return model


def compile_for(problem: Problem, model: Model, optimizer: Optimizer) -> None:
    """Settle how ``model`` learns ``problem``."""
    if problem.task == "classification":
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        model.compile(optimizer, loss="mse", metrics=["mse"])


def describe(problem: Problem, model: Model, arguments: argparse.Namespace) -> str:
    """The net and how it learns, in a line."""
    import fastnn

    widths = [problem.x[0].size, *arguments.layers, model.outputs[0].shape[-1]]
    return (
        f"{problem.task} with {'-'.join(map(str, widths))}, {model.count_params():,} parameters, "
        f"{arguments.optimizer}, batches of {arguments.batch_size}, "
        f"threads: {fastnn.get_num_threads()}"
    )


def _widths(text: str) -> list[int]:
    widths: list[int] = []
    for part in text.split(","):
        if part.strip():
            count, cross, width = part.partition("x")
            widths += [int(width)] * int(count) if cross else [int(part)]
    if widths == [0]:
        return []
    if not widths or min(widths) < 1:
        raise argparse.ArgumentTypeError(f"wanted widths such as 512,256 or 12x64, got {text!r}")
    return widths
