"""Losses as settings: names, arguments, what the kernels are told, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import losses

# Keras 3's constructors, name for name and in order (keras 3.15), less what fastnn leaves out.
KERAS_ARGUMENTS: dict[str, dict[str, Any]] = {
    "SparseCategoricalCrossentropy": {"from_logits": False},
    "CategoricalCrossentropy": {"from_logits": False, "label_smoothing": 0.0},
    "BinaryCrossentropy": {"from_logits": False, "label_smoothing": 0.0},
    "CategoricalFocalCrossentropy": {
        "alpha": 0.25,
        "gamma": 2.0,
        "from_logits": False,
        "label_smoothing": 0.0,
    },
    "MeanSquaredError": {},
    "MeanAbsoluteError": {},
    "Huber": {"delta": 1.0},
    "Poisson": {},
}

NAMES = {
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "binary_crossentropy": "BinaryCrossentropy",
    "bce": "BinaryCrossentropy",
    "BCE": "BinaryCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "mean_squared_error": "MeanSquaredError",
    "mse": "MeanSquaredError",
    "MSE": "MeanSquaredError",
    "mean_absolute_error": "MeanAbsoluteError",
    "mae": "MeanAbsoluteError",
    "MAE": "MeanAbsoluteError",
    "huber": "Huber",
    "poisson": "Poisson",
} | {name: name for name in KERAS_ARGUMENTS}


@pytest.mark.parametrize(("name", "arguments"), KERAS_ARGUMENTS.items())
def test_defaults(name: str, arguments: dict[str, Any]) -> None:
    config = getattr(losses, name)().get_config()
    default_name = config.pop("name")
    assert default_name == ("huber_loss" if name == "Huber" else losses.get(name).kind)
    assert config == {"reduction": "sum_over_batch_size", **arguments}


@pytest.mark.parametrize(("identifier", "name"), NAMES.items())
def test_get_by_name(identifier: str, name: str) -> None:
    assert type(losses.get(identifier)).__name__ == name


def test_get_by_instance_class_and_config() -> None:
    huber = losses.Huber(2.0, name="mine")
    assert losses.get(huber) is huber
    assert type(losses.get(losses.Huber)) is losses.Huber
    again = losses.get({"class_name": "Huber", "config": huber.get_config()})
    assert again.get_config() == huber.get_config()
    assert repr(again) == "Huber(name='mine', reduction='sum_over_batch_size', delta=2.0)"


@pytest.mark.parametrize(
    ("loss", "params"),
    [
        (losses.SparseCategoricalCrossentropy(True), (1.0,)),
        (losses.CategoricalCrossentropy(True, 0.1), (1.0, 0.1)),
        (losses.BinaryCrossentropy(label_smoothing=1), (0.0, 1.0)),
        (losses.CategoricalFocalCrossentropy(0.5, 3, True, 0.2), (0.5, 3.0, 1.0, 0.2)),
        (losses.MeanSquaredError(), ()),
        (losses.MeanAbsoluteError(), ()),
        (losses.Huber(0.5), (0.5,)),
        (losses.Poisson(), ()),
    ],
)
def test_params_and_round_trip(loss: losses.Loss, params: tuple[float, ...]) -> None:
    assert loss.params == params
    assert all(type(value) is float for value in loss.params)
    again = type(loss).from_config(loss.get_config())
    assert (again.kind, again.params, again.name) == (loss.kind, loss.params, loss.name)


def test_reductions() -> None:
    assert losses.MeanSquaredError("sum").reduction == "sum"
    assert losses.MeanSquaredError(reduction="mean").reduction == "sum_over_batch_size"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: losses.Huber(0), ValueError, "Huber: delta .* > 0, got 0"),
        (lambda: losses.Huber(name={}), TypeError, "Huber: name must be a string, got {}"),
        (lambda: losses.Huber("1"), TypeError, "Huber: delta .* '1'"),
        (lambda: losses.Huber(float("nan")), ValueError, "Huber: delta .* nan"),
        (lambda: losses.BinaryCrossentropy(0.1), TypeError, "from_logits .* 0.1"),
        (
            lambda: losses.CategoricalCrossentropy(label_smoothing=1.5),
            ValueError,
            "CategoricalCrossentropy: label_smoothing .* <= 1, got 1.5",
        ),
        (lambda: losses.CategoricalFocalCrossentropy(gamma=-1), ValueError, "gamma"),
        (lambda: losses.CategoricalFocalCrossentropy(alpha=[1.0]), TypeError, "alpha"),
        (lambda: losses.CategoricalCrossentropy(axis=1), ValueError, "axis must be -1, got 1"),
        (lambda: losses.MeanSquaredError("none"), ValueError, "reduction .* 'none'"),
        (lambda: losses.MeanSquaredError(None), ValueError, "reduction .* None"),
        (lambda: losses.get("hinge"), ValueError, "unknown loss 'hinge'.*huber"),
        (lambda: losses.get(None), TypeError, "None"),
        (lambda: losses.get(3), TypeError, "3"),
        (lambda: losses.get({"class_name": "Huber"}), ValueError, "config"),
        (lambda: losses.Loss("base"), TypeError, "abstract"),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# Functions


def squared_error(y_true: Any, y_pred: Any) -> tuple[float, Any]:
    error = y_pred - y_true
    return float(np.square(error).mean()), 2 * error / error.size


def test_a_function_is_a_loss() -> None:
    loss = losses.get(squared_error)
    assert isinstance(loss, losses.CallableLoss)
    assert (loss.name, loss.kind, loss.params) == ("squared_error", "callable", ())
    assert losses.CallableLoss(squared_error, name="own").name == "own"
    value, gradient = loss.compute(np.zeros((2, 2)), np.array([[1, 2], [3, 4]], np.float32))
    assert (float(value), gradient.tolist()) == (7.5, [[0.5, 1.0], [1.5, 2.0]])
    assert "squared_error" in repr(loss)
    with pytest.raises(ValueError, match="loss 'squared_error' is a Python function"):
        loss.get_config()


def test_not_a_function() -> None:
    with pytest.raises(TypeError, match="must be a function, got 3"):
        losses.CallableLoss(3)  # type: ignore[arg-type]
