"""Lowering: what is fused, where the team waits, where buffers lie; gradients of odd graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import twins
from nets import set_seeded_weights
from test_callable_loss import crossentropy
from test_numpy_layer import DenseTanh

import fastnn as fnn
from fastnn import layers, losses, metrics, optimizers
from fastnn.lowering.arena import place
from fastnn.lowering.gradients.clipping import Clipping
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.lower import can_take_nonzeros, lower
from fastnn.lowering.objective import Objective
from fastnn.lowering.program import Buffer, Buffers, Op, Program, make_op
from fastnn.lowering.trace import trace
from fastnn.lowering.verify import InvalidProgram, verify
from fastnn.lowering.waits import place_waits

CROSSENTROPY = losses.SparseCategoricalCrossentropy()
U = 2.0**-24


def traced(model: Any) -> Any:
    return trace(model.inputs, model.outputs, model.nodes)


def updates_of(model: Any) -> Updates:
    """SGD with momentum: a slot for each variable."""
    slots = {v: [np.zeros_like(v.storage)] for v in model.trainable_weights}
    return Updates(dict.fromkeys(slots, "momentum"), slots)


def training_program(model: Any, *found: Any, capacity: int = 32, **settings: Any) -> Program:
    """The training program for losses, one for each output."""
    objectives = [loss if isinstance(loss, Objective) else Objective(loss) for loss in found]
    return lower(traced(model), capacity, objectives, updates_of(model), **settings)


def counts(program: Program) -> Counter[str]:
    return Counter(op.name for op in program.ops)


def operands(op: Op) -> dict[str, Any]:
    """By name, as ``make_op`` takes them."""
    values = [*op.tensors, *op.integers, *op.numbers]
    return dict(zip([*op.spec.tensors, *op.spec.integers, *op.spec.numbers], values, strict=True))


def find(program: Program, name: str) -> list[dict[str, Any]]:
    return [operands(op) for op in program.ops if op.name == name]


# Models


def example(hidden: int = 64) -> Any:
    """The project's example: scaling, flattening, two dense layers, softmax."""
    return fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(hidden, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="digits"),
        ]
    )


def residual() -> Any:
    """Shared, added, concatenated and non-trainable layers, and an output in the middle."""
    x = layers.Input((5,))
    other = layers.Input((3,))
    shared = layers.Dense(5, activation="tanh", name="shared")
    h = shared(x)
    h = layers.Add()([shared(h), h, h])
    frozen = layers.Dense(4, activation="softplus", name="frozen")
    side = frozen(other)
    frozen.trainable = False
    joined = layers.Concatenate()([h, side, layers.Dense(17, activation="gelu")(h)])
    last = layers.Dense(3)(layers.Activation("silu")(joined))
    return fnn.Model([x, other], [last, h])


def logits_and_probabilities() -> Any:
    x = layers.Input((6,))
    logits = layers.Dense(4)(x)
    return fnn.Model(x, [logits, layers.Softmax()(logits)])


def pictures() -> Any:
    """Few channels and many, normalization over the batch between convolutions, noise, a sum."""
    x = layers.Input((9, 8, 3))
    h = layers.Conv2D(20, 3, padding="same", activation="relu")(layers.Rescaling(0.1)(x))
    h = layers.MaxPooling2D()(h)
    h = layers.Dropout(0.5)(h)
    h = layers.BatchNormalization()(layers.Conv2D(18, 3, padding="same")(h))
    h = layers.Add()([h, layers.Conv2D(18, 1, activation="gelu")(h)])
    h = layers.AveragePooling2D(2, 1)(h)
    return fnn.Model(x, layers.Dense(4, activation="softmax")(layers.Flatten()(h)))


def functions() -> Any:
    """A layer and a loss in Python."""
    x = layers.Input((5,))
    h = DenseTanh(19)(layers.Dense(7)(x))
    return fnn.Model(x, [layers.Dense(3, "softmax")(h), h])


def clipped_program(**settings: Any) -> Program:
    """In small batches: one gradient's norm comes from a product, one is stored."""
    model = example(hidden=400)
    updates = replace(updates_of(model), halts=True, clipping=Clipping(global_norm=1.0))
    return lower(traced(model), 20, [Objective(CROSSENTROPY)], updates, **settings)


PROGRAMS: dict[str, Callable[[], Program]] = {
    "example": lambda: training_program(example(), CROSSENTROPY, capacity=70),
    "example-sparse": lambda: training_program(
        example(), CROSSENTROPY, capacity=300, sparse={0: 400}
    ),
    "example-predict": lambda: lower(traced(example()), 1000, predict=True),
    "example-evaluate": lambda: lower(
        traced(example()), 33, [Objective(CROSSENTROPY, [metrics.SparseCategoricalAccuracy()])]
    ),
    "residual": lambda: training_program(
        residual(), losses.MeanSquaredError(), losses.MeanAbsoluteError(), capacity=17
    ),
    "logits-and-probabilities": lambda: training_program(
        logits_and_probabilities(), losses.MeanSquaredError(), CROSSENTROPY
    ),
    "functions": lambda: training_program(
        functions(),
        Objective(losses.CallableLoss(crossentropy), labels=True),
        losses.MeanSquaredError(),
        capacity=21,
    ),
    "pictures": lambda: training_program(pictures(), CROSSENTROPY, capacity=7),
    "pictures-stored": lambda: training_program(pictures(), CROSSENTROPY, capacity=20, store=True),
    "pictures-observed": lambda: training_program(pictures(), CROSSENTROPY, window=9),
    "pictures-predict": lambda: lower(traced(pictures()), 5, predict=True),
    "example-clipped": clipped_program,
    "example-clipped-sparse": lambda: clipped_program(sparse={0: 400}),
    "example-clipped-observed": lambda: clipped_program(window=9),
    "example-observed": lambda: training_program(example(), CROSSENTROPY, capacity=70, window=9),
    "residual-observed": lambda: training_program(
        residual(), losses.MeanSquaredError(), losses.MeanAbsoluteError(), window=9, store=True
    ),
}  # fmt: skip


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


# Waits and memory


def conflict(earlier: Op, later: Op) -> bool:
    """Whether one of the two writes what the other touches, in another member's share."""
    return any(
        (writes_a or writes_b) and share_memory(a, b) and not (a is b and both_by_rows)
        for a, writes_a in earlier.accesses()
        for b, writes_b in later.accesses()
        for both_by_rows in [earlier.unit == later.unit != 0]
    )


def share_memory(a: Buffer, b: Buffer) -> bool:
    if a is b:
        return True
    if a.array is None and a.offset < 0:  # not placed yet: it shares nothing
        return False
    arena_a, first_a, end_a = a.span()
    arena_b, first_b, end_b = b.span()
    return arena_a == arena_b and first_a < end_b and first_b < end_a


@pytest.mark.parametrize("name", PROGRAMS)
def test_waits_stand_where_they_are_needed_and_nowhere_else(name: str) -> None:
    """Both in a step that is looked at, and in one of which the ops that look are left out."""
    program = PROGRAMS[name]()
    looking: list[Op] = []
    others: list[Op] = []
    for number, op in enumerate(program.ops):
        # What one of a band needs stands before the first.
        band = program.ops[number : number + max(1, op.band)]
        needed = any(conflict(earlier, later) for earlier in looking for later in band)
        if not op.observing:
            # Ops that look may have waited: that helps nobody in another step, nor does this wait
            # harm in theirs.
            needed |= any(conflict(earlier, later) for earlier in others for later in band)
        assert op.wait == needed, str(op)
        looking = [op] if op.wait else [*looking, op]
        if not op.observing:
            others = [op] if op.wait else [*others, op]


def test_the_example_waits_few_times() -> None:
    """For the layers' inputs, for the gradients, and for the sums; not between updates."""
    waits = [
        op.name for op in training_program(example(), CROSSENTROPY, capacity=256).ops if op.wait
    ]
    assert len(waits) <= 6
    assert waits.count("dense_backward_weights") <= 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_missing_wait_is_noticed(name: str) -> None:
    program = PROGRAMS[name]()
    for op in program.ops:
        if op.wait:
            op.wait = False
            with pytest.raises(InvalidProgram, match="no wait before"):
                verify(program)
            op.wait = True
    verify(program)


@pytest.mark.parametrize("name", PROGRAMS)
def test_buffers_that_live_together_lie_apart(name: str) -> None:
    """Lives are counted in stretches between waits that stand in every step."""
    program = PROGRAMS[name]()
    lives: dict[Any, tuple[int, int]] = {}
    stretch = 0
    for op in program.ops:
        stretch += op.wait and not op.observing
        for buffer, _ in op.accesses():
            if buffer.array is None:
                lives[buffer] = (lives.get(buffer, (stretch, 0))[0], stretch)
    for a in lives:
        assert 0 <= a.offset <= program.arena_bytes - a.n_bytes
        assert a.offset % 64 == 0
        for b in lives:
            if a is not b and lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]:
                assert a.offset + a.n_bytes <= b.offset or b.offset + b.n_bytes <= a.offset
    assert program.arena_bytes <= sum(buffer.n_bytes for buffer in lives)


def chain() -> tuple[Program, list[Any]]:
    """gather a; b = a; c = b; scatter c: in the arena, a and c share memory."""
    buffers = Buffers(8)
    a, b, c = (buffers.activation(name, 4) for name in "abc")
    ops = [
        make_op("gather", y=a, features=4),
        make_op("affine", x=a, y=b, features=4),
        make_op("affine", x=b, y=c, features=4),
        make_op("scatter", x=c, features=4),
    ]
    for op in ops:
        op.wait = True
    program = Program(ops, 8)
    place(program)
    return program, [a, b, c]


def test_memory_is_used_again() -> None:
    program, (a, b, c) = chain()
    verify(program)
    assert a.offset == c.offset != b.offset
    assert program.arena_bytes == a.n_bytes + b.n_bytes


def test_verify_rejects_reading_what_nothing_wrote() -> None:
    program, _ = chain()
    del program.ops[0]
    with pytest.raises(InvalidProgram, match="nothing has written a before op 0"):
        verify(program)


def test_verify_rejects_another_type() -> None:
    numbers = Buffers.of_array("numbers", np.zeros(64, np.int32))
    program = Program([make_op("square_weights", w=numbers, y=numbers, size=64)], 1)
    with pytest.raises(InvalidProgram, match="numbers is of i4, not f4, in op 0"):
        verify(program)


@pytest.mark.parametrize("dtype", ["i4", "u1", "V"])
def test_verify_rejects_another_type_in_the_arena(dtype: str) -> None:
    x, y = Buffers.raw("x", 256), Buffers.raw("y", 256, dtype)
    ops = [make_op("square_weights", w=a, y=b, size=64) for a, b in ((x, y), (y, x))]
    with pytest.raises(InvalidProgram, match=f"y is of {dtype}, not f4, in op 0"):
        verify(Program(ops, 1))


def test_verify_rejects_overlapping_buffers() -> None:
    program, (a, b, _) = chain()
    b.offset = a.offset
    with pytest.raises(InvalidProgram, match="a and b live at the same time in the same place"):
        verify(program)


@pytest.mark.parametrize("offset", [-1, -64, 8])
def test_verify_rejects_misplaced_buffers(offset: int) -> None:
    program, (a, _, _) = chain()
    a.offset = offset
    with pytest.raises(InvalidProgram, match=f"a lies at {offset}"):
        verify(program)


def test_verify_rejects_buffers_past_the_end() -> None:
    program, _ = chain()
    program.arena_bytes -= 64
    with pytest.raises(InvalidProgram, match="ends after the arena"):
        verify(program)


def test_ops_by_rows_need_no_wait_in_the_same_buffer_but_in_shared_memory() -> None:
    program, (a, _, c) = chain()
    place_waits(program)  # a and c share memory here: c's writer meets a's rows in other shares
    assert [op.wait for op in program.ops] == [False, False, True, False]
    c.offset = a.offset + 2 * a.n_bytes
    place_waits(program)
    assert not any(op.wait for op in program.ops)


def squared(x: Buffer, y: Buffer) -> Op:
    return make_op("square_weights", w=x, y=y, size=64)


def looking(x: Buffer, summaries: Buffer) -> Op:
    return make_op("summarize_weights", x=x, summaries=summaries, size=64)


def several(names: str) -> tuple[Buffer, ...]:
    """In the arena, but for w, which somebody else has written. s, t and u are for summaries."""
    w = Buffers.of_array("w", np.zeros(64, np.float32))
    types = dict.fromkeys("stu", "V")
    return tuple(
        w if name == "w" else Buffers.raw(name, 256, types.get(name, "f4")) for name in names
    )


def waits_of(*ops: Op) -> list[bool]:
    """Placed, and found to be right."""
    program = Program(list(ops), 8)
    place_waits(program)
    place(program)
    verify(program)
    return [op.wait for op in ops]


def assert_refused(*ops: Op) -> None:
    """Wherever the buffers lie."""
    buffers = {buffer: None for op in ops for buffer, _ in op.accesses() if buffer.array is None}
    for number, buffer in enumerate(buffers):
        buffer.offset = 256 * number
    with pytest.raises(InvalidProgram, match="no wait before"):
        verify(Program(list(ops), 8, arena_bytes=256 * len(buffers)))


def test_nobody_counts_on_the_wait_of_an_op_that_looks() -> None:
    w, a, b, s = several("wabs")
    ops = [squared(w, a), looking(a, s), squared(a, b)]
    assert waits_of(*ops) == [False, True, True]
    ops[2].wait = False
    assert_refused(*ops)


def test_ops_that_look_count_on_every_wait() -> None:
    w, a, b, s, t, u = several("wabstu")
    assert waits_of(squared(w, a), squared(a, b), looking(a, s)) == [False, True, False]
    # b is still being written, and then it isn't
    ops = [squared(w, a), squared(a, b), looking(b, s), looking(b, t), looking(a, u)]
    assert waits_of(*ops) == [False, True, True, False, False]
    ops[2].wait = False
    assert_refused(*ops)


def test_what_an_op_looks_at_is_not_overwritten_meanwhile() -> None:
    w, a, b, s = several("wabs")
    ops = [squared(w, a), squared(a, b), looking(a, s), squared(b, a)]
    assert waits_of(*ops) == [False, True, False, True]
    ops[3].wait = False
    assert_refused(*ops)


def test_memory_does_not_change_its_owner_at_the_wait_of_an_op_that_looks() -> None:
    w, a, b, c, s = several("wabcs")
    ops = [squared(w, a), squared(w, b), looking(b, s), squared(w, c)]
    assert waits_of(*ops) == [False, False, True, False]
    assert len({buffer.offset for buffer in (a, b, c, s)}) == 4
    c.offset = a.offset
    with pytest.raises(InvalidProgram, match="no wait before"):
        verify(Program(ops, 8, arena_bytes=2048))
    # Two waits later that stand in every step:
    w, a, b, c, d, s = several("wabcds")
    ops = [squared(w, a), squared(w, b), looking(b, s), squared(a, c), squared(c, d)]
    assert waits_of(*ops) == [False, False, True, True, True]
    assert d.offset in (a.offset, b.offset, s.offset)


@pytest.mark.parametrize("name", ["example", "residual", "example-clipped"])
def test_a_program_that_looks_is_the_other_one_with_more_ops(name: str) -> None:
    """In the same order, and with the same waits: who does not look pays nothing for it."""
    plain, observed = PROGRAMS[name](), PROGRAMS[f"{name}-observed"]()
    if name == "residual":
        plain = training_program(
            residual(), losses.MeanSquaredError(), losses.MeanAbsoluteError(), store=True
        )
    others = [op for op in observed.ops if not op.observing]
    assert [(op.name, op.wait) for op in others] == [(op.name, op.wait) for op in plain.ops]
    assert len(others) < len(observed.ops)


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


# Gradients, against finite differences of a float64 twin of the graph


def evaluate(model: Any, weights: dict[str, Any], xs: list[Any]) -> list[Any]:
    """Outputs of the model in float64."""
    values = dict(zip(model.inputs, xs, strict=True))
    for node in model.nodes:
        layer, inputs = node.layer, [values[t] for t in node.inputs]
        if isinstance(layer, layers.Dense):
            y = inputs[0] @ weights[layer.kernel.path]
            if layer.bias is not None:
                y = y + weights[layer.bias.path]
            values[node.output] = activate(layer.activation, y)
        elif isinstance(layer, layers.Add):
            values[node.output] = sum(inputs)
        elif isinstance(layer, layers.Concatenate):
            values[node.output] = np.concatenate(inputs, axis=1)
        elif isinstance(layer, layers.BatchNormalization | layers.LayerNormalization):
            values[node.output] = normalize(layer, weights, inputs[0])
        elif isinstance(layer, layers.Rescaling):
            values[node.output] = inputs[0] * layer.scale + layer.offset
        else:
            values[node.output] = activate(layer.activation, inputs[0])
    return [values[t] for t in model.outputs]


def normalize(layer: Any, weights: dict[str, Any], x: Any) -> Any:
    """As in training."""
    if isinstance(layer, layers.LayerNormalization):
        mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    elif layer.trainable:
        mean, variance = x.mean(axis=0), x.var(axis=0)
    else:
        mean, variance = weights[layer.moving_mean.path], weights[layer.moving_variance.path]
    y = (x - mean) / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        y = y * weights[layer.gamma.path]
    return y if layer.beta is None else y + weights[layer.beta.path]


def activate(activation: Any, z: Any) -> Any:
    if activation.kind == "softmax":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return twins.ACTIVATIONS[activation.kind].value(z)


def check_gradients(model: Any, rows: int = 19, loss_weights: list[float] | None = None) -> None:
    """One step of SGD at rate 1 on squared errors takes the float64 gradient from every weight."""
    set_seeded_weights(model, 3)
    random = np.random.default_rng(1)
    xs = [random.standard_normal((rows, t.shape[1])).astype(np.float32) for t in model.inputs]
    ys = [random.standard_normal((rows, t.shape[1])).astype(np.float32) for t in model.outputs]
    before = {v.path: v.numpy().astype(np.float64) for v in model.weights}

    def loss(weights: dict[str, Any]) -> float:
        outputs = evaluate(model, weights, [x.astype(np.float64) for x in xs])
        shares = loss_weights or [1.0] * len(outputs)
        return sum(
            share * np.mean((output - y) ** 2)
            for share, output, y in zip(shares, outputs, ys, strict=True)
        )

    model.compile(optimizers.SGD(1.0), "mean_squared_error", loss_weights=loss_weights)
    total = model.train_on_batch(xs if len(xs) > 1 else xs[0], ys if len(ys) > 1 else ys[0])
    np.testing.assert_allclose(np.ravel(total)[0], loss(before), rtol=64 * U)
    trainable = {v.path for v in model.trainable_weights}
    for variable in model.weights:
        if variable.name.startswith("moving_"):
            continue
        value = before[variable.path]
        gradient = np.zeros_like(value)
        for i in np.ndindex(value.shape) if variable.path in trainable else ():
            sides = []
            for h in (1e-6, -1e-6):
                moved = value.copy()
                moved[i] += h
                sides.append(loss({**before, variable.path: moved}))
            gradient[i] = (sides[0] - sides[1]) / 2e-6
        # roundings of the forward and backward chains, few dozens of terms each; 1e-8: differences
        bound = 128 * U * (np.abs(value).max() + np.abs(gradient).max()) + 1e-8
        np.testing.assert_allclose(variable.numpy(), value - gradient, rtol=0, atol=bound)
        assert not padding_of(variable).any(), f"the padding of {variable.path} is not zero"


def padding_of(variable: Any) -> Any:
    """What of the storage is not the value."""
    from fastnn.kernels.layout import pack

    clean = np.zeros_like(variable.storage)
    pack(variable.numpy(), clean)
    return variable.storage - clean


@pytest.mark.parametrize("rows", [1, 19, 140])
def test_gradients_of_everything_at_once(rows: int) -> None:
    check_gradients(residual(), rows, loss_weights=[0.5, 2.0])


@pytest.mark.parametrize("units", [3, 4, 20])
def test_a_shared_layer_sums_its_gradients(units: int) -> None:
    x = layers.Input((units,))
    shared = layers.Dense(units, activation="tanh")
    check_gradients(fnn.Model(x, shared(shared(shared(x)))))


def test_a_shared_layer_of_several_inputs() -> None:
    a, b = layers.Input((5,)), layers.Input((5,))
    shared = layers.Dense(6, activation="silu", use_bias=False)
    check_gradients(
        fnn.Model([a, b], layers.Dense(2)(layers.Concatenate()([shared(a), shared(b)])))
    )


def test_outputs_that_are_read_further_on() -> None:
    x = layers.Input((5,))
    h = layers.Dense(7, activation="elu")(x)
    g = layers.Dense(6, activation="tanh")(h)
    check_gradients(fnn.Model(x, [h, g, layers.Dense(2)(g)]), loss_weights=[1.0, 0.25, 3.0])


def test_the_same_tensor_twice_as_an_output() -> None:
    x = layers.Input((5,))
    h = layers.Dense(4, activation="softmax")(x)
    check_gradients(fnn.Model(x, [h, h]), loss_weights=[1.0, 0.5])


def test_the_same_probabilities_twice_as_an_output() -> None:
    """Two cross-entropies of one softmax."""
    x = layers.Input((5,))
    h = layers.Dense(4, activation="softmax")(x)
    model = set_seeded_weights(fnn.Model(x, [h, h]))
    model.compile(optimizers.SGD(1.0), [CROSSENTROPY, CROSSENTROPY])
    random = np.random.default_rng(0)
    data, labels = random.standard_normal((9, 5)).astype(np.float32), random.integers(0, 4, 9)
    once = set_seeded_weights(fnn.Model(x, h))
    once.compile(optimizers.SGD(2.0), CROSSENTROPY)
    model.train_on_batch(data, [labels, labels])
    once.train_on_batch(data, labels)
    for a, b in zip(model.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=32 * U)


def test_logits_and_their_softmax_as_outputs() -> None:
    check_gradients(logits_and_probabilities(), loss_weights=[1.0, 2.0])


def test_add_of_a_value_to_itself() -> None:
    x = layers.Input((5,))
    h = layers.Dense(6, activation="gelu")(x)
    check_gradients(fnn.Model(x, layers.Dense(3)(layers.Add()([h, h]))))


def test_add_of_what_only_it_reads() -> None:
    """The terms share one gradient buffer."""
    x = layers.Input((5,))
    a, b = layers.Dense(6, activation="tanh")(x), layers.Dense(6)(x)
    c = layers.Activation("sigmoid")(layers.Dense(6)(x))
    check_gradients(fnn.Model(x, layers.Dense(3)(layers.Add()([a, b, c]))))


@pytest.mark.parametrize("widths", [(3, 5), (16, 16), (15, 18, 1)], ids=str)
def test_concatenate(widths: tuple[int, ...]) -> None:
    x = layers.Input((4,))
    parts = [layers.Dense(w, activation="softsign")(x) for w in widths]
    check_gradients(fnn.Model(x, layers.Dense(2)(layers.Concatenate()([*parts, parts[0], x]))))


NORMS = [layers.BatchNormalization, layers.LayerNormalization]


@pytest.mark.parametrize("rows", [5, 33, 140])
@pytest.mark.parametrize("activation", ["linear", "tanh", "gelu"])
@pytest.mark.parametrize("norm", NORMS)
def test_normalization_between_dense_layers(norm: Any, activation: str, rows: int) -> None:
    x = layers.Input((5,))
    h = layers.Activation(activation)(norm()(layers.Dense(18)(x)))
    h = layers.Activation(activation)(norm(scale=False)(layers.Dense(7, activation="tanh")(h)))
    check_gradients(fnn.Model(x, layers.Dense(3)(h)), rows)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("norm", NORMS)
def test_normalization_of_what_others_read(norm: Any, trainable: bool) -> None:
    """Gradients are added to what is there, and stay as they are where they are read elsewhere."""
    x = layers.Input((5,))
    h = layers.Dense(18)(x)
    for activation in ("gelu", "tanh"):
        f = layers.Activation(activation)(norm(trainable=trainable)(h))
        h = layers.Add()([h, f, norm(center=False, trainable=trainable)(layers.Dense(18)(f))])
    model = fnn.Model(x, [layers.Dense(3)(h), norm(trainable=trainable)(h)])
    check_gradients(model, loss_weights=[1.0, 0.5])


@pytest.mark.parametrize("norm", NORMS)
def test_a_shared_normalization(norm: Any) -> None:
    a, b = layers.Input((6,)), layers.Input((6,))
    shared = norm()
    joined = layers.Concatenate()([shared(layers.Dense(6)(a)), shared(shared(b))])
    check_gradients(fnn.Model([a, b], layers.Dense(2)(joined)))


@pytest.mark.parametrize("norm", NORMS)
def test_normalization_before_any_weight(norm: Any) -> None:
    x = layers.Input((5,))
    check_gradients(fnn.Model(x, layers.Dense(2)(norm()(layers.Activation("tanh")(x)))))


@pytest.mark.parametrize("norm", NORMS)
def test_a_normalized_sigmoid_gives_its_logits_to_the_loss(norm: Any) -> None:
    model = fnn.Sequential(
        [layers.Input((5,)), layers.Dense(3), norm(), layers.Activation("sigmoid")]
    )
    program = training_program(model, losses.BinaryCrossentropy())
    assert counts(program)["activation_backward"] == 0
    (loss,) = find(program, "loss")
    assert loss["probabilities"] is not None


def test_gradients_pass_layers_that_stay_as_they_are() -> None:
    x = layers.Input((5,))
    frozen = layers.Dense(6, activation="tanh")
    h = frozen(layers.Dense(4, activation="sigmoid")(x))
    frozen.trainable = False
    model = fnn.Model(x, layers.Dense(2)(h))
    check_gradients(model)
    assert counts(training_program(model, losses.MeanSquaredError()))["dense_backward_weights"] == 2


def test_no_gradient_is_computed_below_the_first_trainable_layer() -> None:
    x = layers.Input((5,))
    frozen = layers.Dense(6, activation="tanh")
    h = frozen(x)
    frozen.trainable = False
    model = fnn.Model(x, layers.Dense(2)(h))
    check_gradients(model)
    program = training_program(model, losses.MeanSquaredError())
    assert counts(program)["dense_backward_input"] == 0
    assert counts(program)["dense_backward_weights"] == 1


def test_rescaling_between_layers_and_activations_by_themselves() -> None:
    x = layers.Input((5,))
    h = layers.Rescaling(0.5, -0.25)(layers.Dense(6, activation="tanh")(x))
    h = layers.Activation("softplus")(layers.Add()([h, layers.Dense(6)(x)]))
    check_gradients(fnn.Model(x, layers.Softmax()(layers.Dense(3)(h))))


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
