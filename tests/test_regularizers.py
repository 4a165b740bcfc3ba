"""Regularizers and constraints: numbers from Keras, names, configurations; arguments of Dense."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from reference.metric_cases import weight

import fastnn as fnn
from fastnn import constraints, layers, regularizers
from fastnn.variables import Variable

REFERENCE = json.loads((Path(__file__).parent / "reference" / "keras_metrics.json").read_text())
ROUNDINGS = 32 * 2.0**-24
"""Of Keras's float32 sums of 20 numbers, with the square root and division after them."""


def identifier(case: dict[str, Any]) -> str:
    return f"{case['class_name']}-{case['config']}"


@pytest.mark.parametrize("case", REFERENCE["regularizers"], ids=identifier)
def test_penalties_are_those_of_keras(case: dict[str, Any]) -> None:
    regularizer = getattr(regularizers, case["class_name"])(**case["config"])
    penalty = regularizer(weight())
    assert type(penalty) is float
    assert penalty == pytest.approx(case["value"], rel=ROUNDINGS)
    again = regularizers.deserialize(regularizers.serialize(regularizer))  # type: ignore[arg-type]
    assert repr(again) == repr(regularizer)
    assert (again.l1, again.l2) == (regularizer.l1, regularizer.l2)


@pytest.mark.parametrize("case", REFERENCE["constraints"], ids=identifier)
def test_projections_are_those_of_keras(case: dict[str, Any]) -> None:
    constraint = getattr(constraints, case["class_name"])(**case["config"])
    before = weight()
    projected = constraint(before)
    assert projected.dtype == np.float64
    np.testing.assert_array_equal(before, weight())
    np.testing.assert_allclose(projected, case["value"], rtol=ROUNDINGS, atol=1e-12)
    again = constraints.deserialize(constraints.serialize(constraint))  # type: ignore[arg-type]
    assert repr(again) == repr(constraint)
    assert (again.kind, again.axis, again.params) == (
        constraint.kind,
        constraint.axis,
        constraint.params,
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("l1", regularizers.L1(0.01)),
        ("L2", regularizers.L2(0.01)),
        ("l1_l2", regularizers.L1L2(0.01, 0.01)),
        (regularizers.L2, regularizers.L2(0.01)),
        (regularizers.l2(0.5), regularizers.L2(0.5)),
        ({"class_name": "L1L2", "config": {"l1": 0.5}}, regularizers.L1L2(0.5, 0.0)),
    ],
)
def test_regularizers_by_name(name: Any, wanted: regularizers.Regularizer) -> None:
    assert repr(regularizers.get(name)) == repr(wanted)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("max_norm", constraints.MaxNorm(2, 0)),
        ("NonNeg", constraints.NonNeg()),
        ("unit_norm", constraints.UnitNorm(0)),
        (constraints.max_norm(3, axis=(0, 1)), constraints.MaxNorm(3, [0, 1])),
    ],
)
def test_constraints_by_name(name: Any, wanted: constraints.Constraint) -> None:
    assert repr(constraints.get(name)) == repr(wanted)


@pytest.mark.parametrize("module", [regularizers, constraints])
def test_none_is_none(module: ModuleType) -> None:
    assert module.get(None) is None
    assert module.serialize(None) is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: regularizers.L1(-0.1), ValueError, "L1: l1 .* >= 0, got -0.1"),
        (lambda: regularizers.L1L2(l2=float("nan")), ValueError, "L1L2: l2"),
        (lambda: regularizers.L2("strong"), TypeError, "L2: l2"),  # type: ignore[arg-type]
        (lambda: regularizers.get("l3"), ValueError, "unknown regularizer 'l3'"),
        (lambda: regularizers.get(0.01), TypeError, "regularizer must be"),  # type: ignore
        (lambda: regularizers.get(lambda w: 0.0), TypeError, "regularizer must be"),  # type: ignore
        (lambda: constraints.get("unit"), ValueError, "unknown constraint 'unit'"),
        (lambda: constraints.get(np.abs), TypeError, "constraint must be"),
        (lambda: constraints.MaxNorm(-1), ValueError, "MaxNorm: max_value"),
        (lambda: constraints.MaxNorm(axis=[]), ValueError, r"MaxNorm: axis .* got \[\]"),
        (lambda: constraints.MaxNorm(axis=[0, 0]), ValueError, r"MaxNorm: axis .* got \[0, 0\]"),
        (lambda: constraints.UnitNorm(axis=-1), ValueError, "UnitNorm: axis .* got -1"),
        (lambda: constraints.UnitNorm(axis=[1, 0]), ValueError, "UnitNorm: axis"),
        (lambda: constraints.UnitNorm(axis="in"), TypeError, "UnitNorm: axis"),  # type: ignore
        (lambda: constraints.MaxNorm(axis=1)([1.0]), ValueError, r"axis 1, .* shape \(1,\)"),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_own_classes_cannot_be_saved() -> None:
    own_regularizer = type("Own", (regularizers.L2,), {})()
    own_constraint = type("Own", (constraints.NonNeg,), {})()
    assert regularizers.get(own_regularizer) is own_regularizer
    with pytest.raises(ValueError, match="only fastnn's own regularizers"):
        regularizers.serialize(own_regularizer)
    with pytest.raises(ValueError, match="only fastnn's own constraints"):
        constraints.serialize(own_constraint)


# Dense


def test_dense_takes_them_in_the_order_of_keras() -> None:
    dense = layers.Dense(
        3, "relu", True, "zeros", "ones", "l1", "l2", "l1_l2", "max_norm", "non_neg",
        dropconnect=0.5,
    )  # fmt: skip
    found = (
        dense.kernel_regularizer, dense.bias_regularizer, dense.activity_regularizer,
        dense.kernel_constraint, dense.bias_constraint,
    )  # fmt: skip
    assert [type(each).__name__ for each in found] == ["L1", "L2", "L1L2", "MaxNorm", "NonNeg"]
    dense.build((None, 4))
    assert dense.bias is not None
    assert dense.kernel.regularizer is dense.kernel_regularizer
    assert dense.kernel.constraint is dense.kernel_constraint
    assert dense.bias.regularizer is dense.bias_regularizer
    assert dense.bias.constraint is dense.bias_constraint
    again = layers.Dense.from_config(dense.get_config())
    assert again.get_config() == dense.get_config()
    assert again.dropconnect == 0.5
    json.dumps(dense.get_config())


def test_a_variable_has_none_by_default() -> None:
    dense = layers.Dense(3)
    dense.build((None, 4))
    assert dense.kernel.regularizer is None and dense.kernel.constraint is None
    assert dense.dropconnect == 0.0


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_dropconnect_is_a_rate(rate: float) -> None:
    with pytest.raises(ValueError, match="Dense: dropconnect"):
        layers.Dense(3, dropconnect=rate)


def test_a_constraint_that_does_not_fit_leaves_the_layer_unbuilt() -> None:
    dense = layers.Dense(3, bias_constraint=constraints.UnitNorm(axis=1), name="own")
    with pytest.raises(ValueError, match=r"'own/bias': UnitNorm .* axis 1, .* shape \(3,\)"):
        dense.build((None, 4))
    assert not dense.built and dense.weights == []


def test_they_are_in_a_saved_model(tmp_path: Path) -> None:
    model = fnn.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(
                3,
                kernel_regularizer=regularizers.L2(1e-3),
                kernel_constraint=constraints.MaxNorm(3),
            ),
        ]
    )
    model.save(tmp_path / "model.safetensors")
    loaded = fnn.load_model(tmp_path / "model.safetensors")
    assert loaded.get_config() == model.get_config()
    assert repr(loaded.weights[0].regularizer) == "L2(l2=0.001)"
    assert repr(loaded.weights[0].constraint) == "MaxNorm(max_value=3.0, axis=0)"


@pytest.mark.parametrize(
    ("axis", "shape", "matrix_shape", "wanted"),
    [
        (0, (5,), None, 0),
        (1, (5, 3), None, 1),
        ([0, 1, 2], (3, 2, 5, 4), None, 0),
        (3, (3, 2, 5, 4), None, 1),
        ([0, 1, 2, 3], (3, 2, 5, 4), None, (0, 1)),
        ([0, 1], (3, 5, 4), None, 0),
        ([0, 1], (3, 2, 5, 4), (6, 20), 0),
        ([2, 3], (3, 2, 5, 4), (6, 20), 1),
        (2, (1, 1, 5, 4), None, 0),
        ([0, 1, 2], (1, 1, 5, 4), None, 0),
    ],
)
def test_axes_of_weights_of_any_rank(
    axis: Any, shape: tuple[int, ...], matrix_shape: Any, wanted: Any
) -> None:
    constraint = constraints.UnitNorm(axis)
    variable = Variable(shape, np.ones, "w", constraint=constraint, matrix_shape=matrix_shape)
    assert variable.constraint_axis == wanted
    # What the engine does along the matrix's axis is what the constraint says of the weight.
    values = np.arange(1.0, 1 + variable.size).reshape(shape)
    matrix = values if len(shape) == 1 else values.reshape(variable.matrix_shape)
    norms = np.sqrt(np.square(matrix).sum(axis=wanted, keepdims=True)) + 1e-7
    np.testing.assert_allclose(constraint(values), (matrix / norms).reshape(shape), rtol=1e-14)


@pytest.mark.parametrize(
    ("axis", "shape", "matrix_shape", "message"),
    [
        (0, (3, 2, 5, 4), None, r"axis 0 .* may be \[0, 1, 2\], \[3\], \[0, 1, 2, 3\]"),
        ([0, 1], (3, 2, 5, 4), None, r"axis \[0, 1\] .*\(3, 2, 5, 4\)"),
        ([0, 1], (1, 1, 5, 4), None, r"axis \[0, 1\]"),
        ([0, 1, 2], (3, 2, 5, 4), (6, 20), r"may be \[0, 1\], \[2, 3\]"),
        (4, (3, 2, 5, 4), None, r"axis 4, but the weight has shape \(3, 2, 5, 4\)"),
    ],
)
def test_axes_that_are_no_rows_or_columns(
    axis: Any, shape: tuple[int, ...], matrix_shape: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"'w': MaxNorm .*{message}"):
        Variable(
            shape, np.ones, "w", constraint=constraints.MaxNorm(2, axis), matrix_shape=matrix_shape
        )
