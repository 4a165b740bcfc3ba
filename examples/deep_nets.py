"""Why deep nets fail to train, and what helps: fifty layers, treated in one way after another.

    python examples/deep_nets.py --output pictures

Two patients. In a net of sigmoids the gradient vanishes on its way down, since each of them passes
on a quarter of it at most (Hochreiter 1991; Glorot & Bengio 2010). In a net of ReLUs whose weights
begin with twice the variance they should have (He et al. 2015), it explodes. Each takes a thousand
steps of plain gradient descent, untreated and with each remedy by itself; not every remedy is one
for both. The table says how large the gradients of the first and of the last layer were before the
first step, and what came of the training; pictures/deep_nets.png shows the layers between. It needs
matplotlib: ``pip install fastnn[plots]``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fastnn as fnn
from fastnn import callbacks, datasets, initializers, layers, optimizers

WIDTH = 64
BATCH = 128
LEARNING_RATE = 0.01

TOO_LARGE = partial(initializers.VarianceScaling, 4.0, "fan_in")  # He's has 2
RESIDUAL_AND_NORM = {"residual": True, "normalization": layers.BatchNormalization}
FOUR_TIMES = partial(initializers.Orthogonal, 4.0)  # a sigmoid passes on a quarter


@dataclass
class Case:
    """A patient, with one treatment or none."""

    patient: str
    treatment: str
    activation: str
    initializer: Callable[[], initializers.Initializer]
    depth: int = 50
    normalization: Callable[[], layers.Layer] | None = None
    residual: bool = False
    optimizer: dict[str, float] = field(default_factory=dict)


def sigmoid(treatment: str, **treated: Any) -> Case:
    untreated = {"activation": "sigmoid", "initializer": initializers.GlorotUniform}
    return Case("sigmoid", treatment, **{**untreated, **treated})


def relu(treatment: str, **treated: Any) -> Case:
    untreated = {"activation": "relu", "initializer": TOO_LARGE}
    return Case("ReLU, too large", treatment, **{**untreated, **treated})


CASES = [
    sigmoid("untreated"),
    sigmoid("initialization for sigmoid", initializer=FOUR_TIMES),
    sigmoid("LSUV initialization", initializer=initializers.LSUV),
    sigmoid("tanh instead", activation="tanh"),
    sigmoid(
        "ReLU and He initialization instead", activation="relu", initializer=initializers.HeNormal
    ),
    sigmoid("BatchNormalization", normalization=layers.BatchNormalization),
    sigmoid("LayerNormalization", normalization=layers.LayerNormalization),
    sigmoid("residual connections", residual=True),
    sigmoid("residual connections and BatchNormalization", **RESIDUAL_AND_NORM),
    sigmoid("learning rate x 10", optimizer={"learning_rate": 10 * LEARNING_RATE}),
    sigmoid("3 layers instead of 50", depth=3),
    relu("untreated"),
    relu("He initialization", initializer=initializers.HeNormal),
    relu("LSUV initialization", initializer=initializers.LSUV),
    relu("SELU and LeCun initialization", activation="selu", initializer=initializers.LecunNormal),
    relu("BatchNormalization", normalization=layers.BatchNormalization),
    relu("LayerNormalization", normalization=layers.LayerNormalization),
    relu("residual connections", residual=True),
    relu("residual connections and BatchNormalization", **RESIDUAL_AND_NORM),
    relu("clipping to a norm of 1", optimizer={"global_clipnorm": 1.0}),
    relu("learning rate / 1000", optimizer={"learning_rate": LEARNING_RATE / 1000}),
    relu("3 layers instead of 50", depth=3),
]


def build(case: Case) -> fnn.Sequential:
    """The net: Dense, normalization, activation; in the residual ones, all that beside a detour."""
    model = fnn.Sequential([layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten()])
    for number in range(1, case.depth + 1):
        block = [
            layers.Dense(WIDTH, kernel_initializer=case.initializer(), name=f"hidden_{number}"),
            *([] if case.normalization is None else [case.normalization()]),
            layers.Activation(case.activation),
        ]
        if case.residual and number > 1:
            block = [layers.Residual(block)]
        for layer in block:
            model.add(layer)
    model.add(layers.Dense(10, activation="softmax", name="output"))
    model.compile(
        optimizers.SGD(**{"learning_rate": LEARNING_RATE, **case.optimizer}),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


@dataclass
class Outcome:
    """``norms``: of each Dense layer's gradient before the first step, from the input upwards."""

    patient: str
    treatment: str
    norms: list[float]
    loss: float
    accuracy: float
    stopped: str


def run(case: Case, data: Any, steps: int, seed: int) -> Outcome:
    (x, y), (x_test, y_test) = data
    fnn.utils.set_random_seed(seed)
    model = build(case)
    norms: list[float] = []

    def look(logs: Any) -> None:
        found = fnn.gradient_norms(model, x[:BATCH], y[:BATCH])
        by_layer = {path.rpartition("/")[2]: norm for path, norm in found.items()}
        names = [*(f"hidden_{number}" for number in range(1, case.depth + 1)), "output"]
        norms.extend(by_layer[name] for name in names)

    stopped = ""
    try:
        # At the beginning of fit, because LSUV scales its weights by the data that fit gets.
        watch = callbacks.LambdaCallback(on_train_begin=look)
        model.fit(x, y, BATCH, steps_per_epoch=steps, verbose=0, callbacks=[watch])
    except FloatingPointError as fault:
        stopped = str(fault).partition(";")[0]
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    return Outcome(case.patient, case.treatment, norms, loss, accuracy, stopped)


def table(outcomes: list[Outcome]) -> str:
    lines = [
        "| net | treatment | gradient, first layer | last layer | test loss | test accuracy |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for o in outcomes:
        end = f"{o.loss:.3g} | {o.accuracy:.1%}" if not o.stopped else "stopped | -"
        # Squares of float32 numbers that are smaller than this are zero.
        first, last = (f"{n:.1e}" if n else "below 1e-19" for n in (o.norms[0], o.norms[-1]))
        lines.append(f"| {o.patient} | {o.treatment} | {first} | {last} | {end} |")
    return "\n".join(lines)


def picture(outcomes: list[Outcome], path: Path) -> None:
    from matplotlib.figure import Figure

    patients = list(dict.fromkeys(o.patient for o in outcomes))
    figure = Figure(figsize=(13, 7), layout="constrained")
    for axes, patient in zip(figure.subplots(1, len(patients)), patients, strict=True):
        for o in outcomes:
            if o.patient == patient:
                untreated = o.treatment == "untreated"
                style = {"color": "black", "linewidth": 3} if untreated else {"linewidth": 1.2}
                norms = [norm or float("nan") for norm in o.norms]
                axes.semilogy(range(1, len(norms) + 1), norms, label=o.treatment, **style)
        axes.set(title=f"{patient}, 50 layers", xlabel="layer", ylabel="norm of its gradient")
        axes.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fifty layers, and what makes them train.")
    parser.add_argument("--steps", type=int, default=1000, help="of training (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("."), help="directory of the picture")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes as JSON")
    options = parser.parse_args()
    data = datasets.mnist.load_data()
    outcomes = []
    for case in CASES:
        print(f"{case.patient}: {case.treatment}", flush=True)
        outcomes.append(run(case, data, options.steps, options.seed))
    print(f"\n{table(outcomes)}\n")
    for outcome in outcomes:
        if outcome.stopped:
            print(f"{outcome.patient}, {outcome.treatment}: {outcome.stopped}")
    options.output.mkdir(parents=True, exist_ok=True)
    picture(outcomes, options.output / "deep_nets.png")
    print(f"picture: {options.output / 'deep_nets.png'}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=2) + "\n")


if __name__ == "__main__":
    main()
