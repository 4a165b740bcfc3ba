"""Lowering: what is fused, how a program reads, and where a step can be left."""

from __future__ import annotations

from typing import Any

import pytest
from programs import CROSSENTROPY, counts, example, find, traced, training_program

import fastnn as fnn
from fastnn import layers, losses, optimizers
from fastnn.lowering.lower import can_take_nonzeros, lower
from fastnn.lowering.program import Op, make_op

# Fusion


def test_the_example_is_fused() -> None:
    program = training_program(example(), CROSSENTROPY)
    assert counts(program) == {
        "gather": 1, "gather_values": 1, "dense_forward": 2, "loss": 1, "transpose": 1,
        "dense_backward_input": 1, "dense_backward_weights": 2, "sum_rows": 1,
    }  # fmt: skip
    assert find(program, "gather")[0]["scale"] == pytest.approx(1 / 255)
    first, second = find(program, "dense_forward")
    assert (first["activation"], second["activation"]) == (1, 0)  # relu; logits
    assert find(program, "dense_backward_input")[0]["activation"] == 1
    assert all(op["optimizer"] >= 0 for op in find(program, "dense_backward_weights"))


def test_nonzeros_take_the_place_of_the_gathered_rows() -> None:
    program = training_program(example(), CROSSENTROPY, sparse={0: 400})
    assert counts(program)["gather"] == 0
    assert counts(program)["dense_forward_sparse"] == 1
    assert counts(program)["dense_backward_weights_sparse"] == 1
    assert counts(program)["sparse_columns"] == 1
    predicting = lower(traced(example()), 32, predict=True, sparse={0: 400})
    assert counts(predicting)["sparse_columns"] == 0


def test_who_can_take_nonzeros() -> None:
    x = layers.Input((6,))
    dense = layers.Dense(4)
    scaled = layers.Rescaling(0.5)(x)
    answers = {
        "dense": fnn.Model(x, dense(x)),
        "scaled": fnn.Model(x, dense(scaled)),
        "shifted": fnn.Model(x, dense(layers.Rescaling(0.5, 1.0)(x))),
        "activation": fnn.Model(x, dense(layers.ReLU()(x))),
        "concatenated": fnn.Model(x, layers.Concatenate()([dense(x), x])),
    }
    found = {}
    for name, model in answers.items():
        graph = traced(model)
        lower(graph, 4, predict=True)  # fuses
        found[name] = can_take_nonzeros(graph, 0)
    assert found == {
        "dense": 1.0, "scaled": 0.5, "shifted": None, "activation": None, "concatenated": None,
    }  # fmt: skip


def test_a_value_with_other_readers_is_not_fused() -> None:
    x = layers.Input((6,))
    dense = layers.Dense(4)(x)
    activated = layers.ReLU()(dense)
    model = fnn.Model(x, layers.Concatenate()([dense, activated]))
    assert counts(lower(traced(model), 8, predict=True))["activation_forward"] == 1
    as_output = fnn.Model(x, [dense, activated])
    assert counts(lower(traced(as_output), 8, predict=True))["activation_forward"] == 1


@pytest.mark.parametrize(
    ("activation", "loss", "kind"),
    [
        ("softmax", losses.SparseCategoricalCrossentropy(), "softmax_crossentropy"),
        ("softmax", losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax_crossentropy"),
        ("linear", losses.CategoricalCrossentropy(from_logits=True), "softmax_crossentropy"),
        ("relu", losses.CategoricalCrossentropy(), "crossentropy"),
        ("sigmoid", losses.BinaryCrossentropy(), "sigmoid_crossentropy"),
        ("linear", losses.BinaryCrossentropy(from_logits=True), "sigmoid_crossentropy"),
        ("tanh", losses.BinaryCrossentropy(), "binary_crossentropy"),
        ("softmax", losses.MeanSquaredError(), "mean_squared_error"),
    ],
)
def test_losses_take_logits_where_they_can(activation: str, loss: Any, kind: str) -> None:
    from fastnn.kernels.codes import LOSSES

    model = fnn.Sequential([layers.Input((6,)), layers.Dense(4, activation=activation)])
    program = training_program(model, loss)
    assert find(program, "loss")[0]["kind"] == LOSSES[kind]
    assert counts(program)["softmax_forward"] == (kind == "mean_squared_error")


def test_make_op_refuses_unknown_operands() -> None:
    with pytest.raises(ValueError, match="op gather has no operand"):
        make_op("gather", z=None)


def test_a_program_can_be_read() -> None:
    text = str(training_program(example(), CROSSENTROPY))
    lines = text.splitlines()
    assert lines[0].startswith("program for 32 rows, arena of ")
    assert len(lines) == 1 + 10
    (forward,) = [line for line in lines if "dense_forward" in line and "inputs=784" in line]
    assert " kernel=hidden/kernel bias=hidden/bias y=hidden inputs=784 units=64 " in forward
    assert sum(line.startswith("wait ") for line in lines) == text.count("\nwait ")


# Leaving a step


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.Adam(),
        optimizers.Adam(global_clipnorm=1.0, use_ema=True, weight_decay=0.01),
        optimizers.SGD(0.1, clipnorm=1.0),
        optimizers.SGD(0.1, adaptive_clip=0.1, nonfinite="skip"),
        optimizers.Muon(),
    ],
)
def test_where_a_step_can_be_left(optimizer: Any) -> None:
    """Most of it, and nothing that lasts has changed up to the wait where the team meets."""
    model = fnn.Sequential([
        layers.Input((9,)), layers.Dense(8, kernel_regularizer="l2"), layers.BatchNormalization(),
        layers.Activation("relu"), layers.Dense(7), layers.LayerNormalization(),
        layers.Dense(4, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    for updates in (model._updates(), None):
        with model._executables.lend(32, model._objectives(), updates, {}) as executable:
            program = executable.program
        places = {v.path for v in model.weights}
        ops = program.ops

        def lasts(op: Op, places: set[str] = places) -> bool:
            names = [buffer.name for buffer, writes in op.accesses() if writes]
            kept = [n for n in names if n in places or n.rpartition("/")[0] in places]
            return bool(kept) or op.name.startswith("sum_rows") or op.name == "sum_penalties"

        assert len(program.leavable) == len(ops)
        assert not program.leavable[-1]
        forward = [i for i, op in enumerate(ops) if op.name in ("dense_forward", "loss")]
        assert all(program.leavable[i] for i in forward)
        for i in (i for i, leavable in enumerate(program.leavable) if leavable):
            meets = next(j for j in range(i + 1, len(ops) + 1) if j == len(ops) or ops[j].wait)
            assert not any(map(lasts, ops[:meets])), (i, meets)
