"""The net that a command is told to build."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from fastnn.cli import nets
from fastnn.cli.problem import Problem

if TYPE_CHECKING:
    from fastnn.models import Model, Sequential
    from fastnn.optimizers import Optimizer

DEFAULTS: dict[str, Any] = {
    "net": None,
    "layers": None,
    "activation": "relu",
    "initializer": "glorot_uniform",
    "augment": [],
}
"""What ``--layers`` and so on are where nobody says."""

LAYERS: dict[str, list[int]] = {"mlp": [512], "convnet": []}
"""Of each net where nobody says."""


def add_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The options of a net; returns their group."""
    group = parser.add_argument_group("the network")
    group.add_argument(
        "--net",
        choices=nets.NETS,
        default=DEFAULTS["net"],
        help="mlp: dense layers. convnet, for pictures: convolutions of 32, 64 and 128 filters, "
        "each with BatchNormalization and max pooling (default: convnet for a folder of pictures, "
        "else mlp)",
    )
    group.add_argument(
        "--layers",
        type=_widths,
        default=DEFAULTS["layers"],
        metavar="N,N,...",
        help="widths of the hidden dense layers, such as 512,256, or 12x64 for twelve of 64; 0 for "
        "none (default: 512 of an mlp, none of a convnet)",
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
    group.add_argument(
        "--augment",
        type=_augmentations,
        default=DEFAULTS["augment"],
        metavar="NAME,NAME,...",
        help="change pictures at random while training: flip (left and right), shift, rotate, zoom",
    )
    return group


def check(arguments: argparse.Namespace) -> None:
    """What ``build`` would find, but before the data is read.

    Raises:
        ValueError: There is no such activation or initializer.
    """
    from fastnn import activations, initializers

    activations.get(arguments.activation)
    initializers.get(arguments.initializer)


def settle(problem: Problem, arguments: argparse.Namespace) -> None:
    """Which net it is and its layers, where the options leave that to the data.

    Raises:
        ValueError: The options are for pictures, and the data is none.
    """
    if arguments.net is None:
        arguments.net = "convnet" if problem.are_pictures else "mlp"
    if arguments.layers is None:
        arguments.layers = LAYERS[arguments.net]
    if problem.x.ndim not in (3, 4):
        for name, given in (("net convnet", arguments.net == "convnet"),
                            ("augment", arguments.augment)):  # fmt: skip
            if given:
                raise ValueError(
                    f"--{name} wants pictures, (height, width) or (height, width, channels), but "
                    f"{problem.name} has examples of shape {problem.x.shape[1:]}"
                )


def build(problem: Problem, arguments: argparse.Namespace) -> Sequential:
    """The net, not compiled. ``settle`` comes first."""
    import fastnn
    from fastnn import layers

    shape = problem.x.shape[1:]
    model = fastnn.Sequential([layers.Input(shape)])
    if len(shape) == 2 and (arguments.net == "convnet" or arguments.augment):
        shape = (*shape, 1)
        model.add(layers.Reshape(shape))
    for layer in nets.augmentation(arguments.augment):
        model.add(layer)
    if problem.x.dtype == "uint8":
        model.add(layers.Rescaling(1 / 255))
    for layer in nets.hidden_layers(
        arguments.net, shape, arguments.layers, arguments.activation, arguments.initializer
    ):
        model.add(layer)
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
    from fastnn import metrics

    if problem.task == "classification":
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        measures = [
            metrics.RootMeanSquaredError(name="rmse"),
            metrics.MeanAbsoluteError(name="mae"),
            metrics.R2Score(name="r2"),
        ]
        model.compile(optimizer, loss="mse", metrics=measures)


def describe(problem: Problem, model: Model, arguments: argparse.Namespace) -> str:
    """The net and how it learns, in a line."""
    import fastnn

    shape = problem.x.shape[1:]
    widths: list[object] = [math.prod(shape), *arguments.layers, model.outputs[0].shape[-1]]
    if arguments.net == "convnet":
        filters = [f"conv{n}" for n in nets.FILTERS]
        widths[:1] = ["x".join(map(str, shape)), *filters]
    return (
        f"{problem.task} with {'-'.join(map(str, widths))}, {model.count_params():,} parameters, "
        f"{arguments.optimizer}, batches of {arguments.batch_size}, "
        f"threads: {fastnn.get_num_threads()}"
    )


def _augmentations(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not set(names) <= set(nets.AUGMENTATIONS) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"wanted some of {', '.join(nets.AUGMENTATIONS)}, got {text!r}"
        )
    return names


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
