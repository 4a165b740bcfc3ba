"""Cases: clipped gradients, averaged weights, regularizers, constraints."""

from __future__ import annotations

from typing import Any

from reference.cases_layers import mlp
from reference.protocol import Run, case, rows_for

BATCH = 13
CLIPS: dict[str, Any] = {
    "clipnorm": {"clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.02},
    "global-clipnorm": {"global_clipnorm": 0.2},
}
"""Below the gradients' own norms, about 0.3 a weight."""

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda o, **s: o.SGD(0.3, momentum=0.7, **s),
    "adam": lambda o, **s: o.Adam(0.01, epsilon=1e-3, **s),
}


def train_and_test(run: Run, model: Any, x: Any, y: Any, **compiled: Any) -> None:
    model.compile(loss="sparse_categorical_crossentropy", **compiled)
    run.train(model, x, y, BATCH)
    run.record_evaluation(model.evaluate(x, y, batch_size=20, verbose=0, return_dict=True))


def clip(api: Any, run: Run, make: Any, **settings: Any) -> None:
    model = mlp(api, run, [9, 21, 18, 4], "tanh", "softmax")
    n = rows_for(BATCH)
    x, y = run.reals(n, 9), run.classes(n, 4)
    train_and_test(run, model, x, y, optimizer=make(api.optimizers, **settings))


for _clip, _settings in CLIPS.items():
    for _name, _make in OPTIMIZERS.items():
        case(f"clip/{_name}-{_clip}", make=_make, **_settings)(clip)
case("clip/muon-global-clipnorm", make=lambda o, **s: o.Muon(0.02, **s), global_clipnorm=0.2)(clip)


def clip_shared(api: Any, run: Run, **settings: Any) -> None:
    """A Dense layer in two places, and a normalization: one gradient each, the sum of two."""
    layers = api.layers
    x = layers.Input((9,))
    h, shared = layers.Dense(16, activation="tanh")(x), layers.Dense(16, activation="tanh")
    h = layers.LayerNormalization()(shared(shared(h)))
    model = run.set_weights(api.Model(x, layers.Dense(4, activation="softmax")(h)))
    n = rows_for(BATCH)
    rows, y = run.reals(n, 9), run.classes(n, 4)
    train_and_test(run, model, rows, y, optimizer=api.optimizers.SGD(0.3, **settings))


for _clip, _settings in CLIPS.items():
    case(f"clip/shared-{_clip}", **_settings)(clip_shared)


def average(api: Any, run: Run, make: Any, **settings: Any) -> None:
    """Three epochs of five steps: averages take the weights' places in their midst and at the
    end."""
    model = mlp(api, run, [9, 21, 4], "tanh", "softmax")
    x, y = run.reals(61, 9), run.classes(61, 4)
    optimizer = make(api.optimizers, use_ema=True, **settings)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    run.record_history(model.fit(x, y, batch_size=BATCH, epochs=3, shuffle=False, verbose=0))
    run.record_weights(model)
    run.record_evaluation(model.evaluate(x, y, batch_size=20, verbose=0, return_dict=True))


for _name, _make in OPTIMIZERS.items():
    case(f"ema/{_name}", make=_make, ema_momentum=0.8)(average)
    case(f"ema/{_name}-overwrite", make=_make, ema_momentum=0.8, ema_overwrite_frequency=4)(average)
case("ema/muon-overwrite", make=lambda o, **s: o.Muon(0.02, **s), ema_overwrite_frequency=3)(
    average
)


def regularized(api: Any, run: Run, fit: bool, **settings: Any) -> None:
    """``settings`` of the hidden layers, made by functions of the module."""
    layers = api.layers
    hidden = [
        layers.Dense(units, activation="tanh", **{k: make(api) for k, make in settings.items()})
        for units in (21, 18)
    ]
    model = api.Sequential([layers.Input((9,)), *hidden, layers.Dense(4, activation="softmax")])
    run.set_weights(model)
    n = rows_for(BATCH)
    x, y = run.reals(n, 9), run.classes(n, 4)
    if not fit:
        train_and_test(run, model, x, y, optimizer=api.optimizers.SGD(0.2, momentum=0.5))
        return
    model.compile(optimizer=api.optimizers.Adam(0.01, epsilon=1e-3),
                  loss="sparse_categorical_crossentropy")  # fmt: skip
    history = model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0,
                        validation_data=(x[:30], y[:30]))  # fmt: skip
    run.record_history(history)
    run.record_weights(model)


REGULARIZERS: dict[str, Any] = {
    "l1": lambda api: api.regularizers.L1(0.003),
    "l2": lambda api: api.regularizers.L2(0.02),
    "l1l2": lambda api: api.regularizers.L1L2(0.002, 0.01),
}
for _name, _make in REGULARIZERS.items():
    for _fit in (False, True):
        case(f"regularizer/{_name}{'-fit' * _fit}", fit=_fit, kernel_regularizer=_make,
             bias_regularizer=_make)(regularized)  # fmt: skip
for _fit in (False, True):
    case(f"regularizer/activity{'-fit' * _fit}", fit=_fit,
         activity_regularizer=REGULARIZERS["l1l2"])(regularized)  # fmt: skip

CONSTRAINTS: dict[str, Any] = {
    "max-norm-0": lambda api: api.constraints.MaxNorm(0.9, axis=0),
    "max-norm-1": lambda api: api.constraints.MaxNorm(1.1, axis=1),
    "max-norm-all": lambda api: api.constraints.MaxNorm(3.0, axis=[0, 1]),
    "unit-norm-0": lambda api: api.constraints.UnitNorm(axis=0),
    "unit-norm-1": lambda api: api.constraints.UnitNorm(axis=1),
    "non-neg": lambda api: api.constraints.NonNeg(),
}
for _name, _make in CONSTRAINTS.items():
    case(f"constraint/{_name}", fit=False, kernel_constraint=_make)(regularized)
case("constraint/bias-max-norm", fit=False,
     bias_constraint=lambda api: api.constraints.MaxNorm(0.2))(regularized)  # fmt: skip
case("constraint/bias-non-neg", fit=False,
     bias_constraint=lambda api: api.constraints.NonNeg())(regularized)  # fmt: skip
case("constraint/all-at-once", fit=False, kernel_constraint=CONSTRAINTS["max-norm-1"],
     bias_constraint=CONSTRAINTS["non-neg"], kernel_regularizer=REGULARIZERS["l2"],
     activity_regularizer=REGULARIZERS["l1"])(regularized)  # fmt: skip
