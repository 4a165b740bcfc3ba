"""Cases: every optimizer with its arguments, and learning-rate schedules."""

from __future__ import annotations

from typing import Any

from reference.cases_layers import mlp
from reference.protocol import Run, case, rows_for

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda o: o.SGD(),
    "sgd-0.3": lambda o: o.SGD(learning_rate=0.3),
    "sgd-weight-decay": lambda o: o.SGD(0.1, weight_decay=0.05),
    "sgd-momentum": lambda o: o.SGD(0.05, momentum=0.9),
    "sgd-momentum-weight-decay": lambda o: o.SGD(0.05, momentum=0.8, weight_decay=0.1),
    "sgd-nesterov": lambda o: o.SGD(0.05, momentum=0.9, nesterov=True),
    "sgd-nesterov-weight-decay": lambda o: o.SGD(
        0.05, momentum=0.7, nesterov=True, weight_decay=0.02
    ),
    "adam": lambda o: o.Adam(),
    "adam-0.03": lambda o: o.Adam(0.03),
    "adam-betas-epsilon": lambda o: o.Adam(0.01, beta_1=0.7, beta_2=0.95, epsilon=1e-3),
    "adam-amsgrad": lambda o: o.Adam(0.02, beta_2=0.9, amsgrad=True),
    "adam-weight-decay": lambda o: o.Adam(0.02, weight_decay=0.1),
    "adam-amsgrad-weight-decay": lambda o: o.Adam(0.02, amsgrad=True, weight_decay=0.1),
    "adamw": lambda o: o.AdamW(),
    "adamw-0.01": lambda o: o.AdamW(0.01, weight_decay=0.2),
    "adamw-amsgrad": lambda o: o.AdamW(0.02, beta_2=0.9, amsgrad=True),
    "rmsprop": lambda o: o.RMSprop(),
    "rmsprop-rho-epsilon": lambda o: o.RMSprop(0.005, rho=0.7, epsilon=1e-4),
    "rmsprop-momentum": lambda o: o.RMSprop(0.005, momentum=0.8),
    "rmsprop-centered": lambda o: o.RMSprop(0.003, centered=True),
    "rmsprop-centered-momentum": lambda o: o.RMSprop(0.003, centered=True, momentum=0.6),
    "rmsprop-weight-decay": lambda o: o.RMSprop(0.005, weight_decay=0.1),
    "rmsprop-momentum-weight-decay": lambda o: o.RMSprop(0.005, momentum=0.8, weight_decay=0.1),
    "adagrad": lambda o: o.Adagrad(),
    "adagrad-0.1": lambda o: o.Adagrad(0.1),
    "adagrad-accumulator-epsilon": lambda o: o.Adagrad(
        0.05, initial_accumulator_value=0.5, epsilon=1e-2
    ),
    "adagrad-weight-decay": lambda o: o.Adagrad(0.05, weight_decay=0.1),
    "nadam": lambda o: o.Nadam(),
    "nadam-betas-epsilon": lambda o: o.Nadam(0.01, beta_1=0.7, beta_2=0.95, epsilon=1e-3),
    "nadam-weight-decay": lambda o: o.Nadam(0.02, weight_decay=0.1),
    "lion": lambda o: o.Lion(),
    "lion-betas": lambda o: o.Lion(0.005, beta_1=0.7, beta_2=0.9),
    "lion-weight-decay": lambda o: o.Lion(0.002, weight_decay=0.5),
    "muon": lambda o: o.Muon(),
    "muon-0.02": lambda o: o.Muon(0.02, momentum=0.8),
    "muon-no-nesterov": lambda o: o.Muon(0.02, nesterov=False, rms_rate=None),
    "muon-coefficients": lambda o: o.Muon(
        0.02, ns_steps=3, muon_a=3.0, muon_b=-3.2, muon_c=1.2, adam_lr_ratio=0.3
    ),
    "muon-weight-decay": lambda o: o.Muon(0.02, weight_decay=0.2, adam_weight_decay=0.5),
    "string-adagrad": lambda o: "adagrad",
    "string-nadam": lambda o: "nadam",
    "string-lion": lambda o: "lion",
    "string-muon": lambda o: "muon",
    "string-sgd": lambda o: "sgd",
    "string-adam": lambda o: "adam",
    "string-adamw": lambda o: "adamw",
    "string-rmsprop": lambda o: "rmsprop",
}

SCHEDULES: dict[str, Any] = {
    "exponential": lambda s: s.ExponentialDecay(0.2, decay_steps=4, decay_rate=0.6),
    "exponential-staircase": lambda s: s.ExponentialDecay(0.2, 3, 0.5, staircase=True),
    "piecewise-constant": lambda s: s.PiecewiseConstantDecay([2, 6], [0.3, 0.1, 0.02]),
    "polynomial": lambda s: s.PolynomialDecay(0.3, 8, end_learning_rate=0.01, power=2.0),
    "polynomial-cycle": lambda s: s.PolynomialDecay(0.3, 5, end_learning_rate=0.01, cycle=True),
    "inverse-time": lambda s: s.InverseTimeDecay(0.3, decay_steps=2, decay_rate=0.5),
    "cosine": lambda s: s.CosineDecay(0.3, decay_steps=10, alpha=0.1),
    "cosine-warmup": lambda s: s.CosineDecay(
        0.01, decay_steps=7, warmup_target=0.3, warmup_steps=4
    ),
    "cosine-restarts": lambda s: s.CosineDecayRestarts(0.3, first_decay_steps=3, m_mul=0.8),
}


def train(api: Any, run: Run, optimizer: Any) -> None:
    widths = [run.pick(6, 12, 21), run.pick(10, 17, 24), run.pick(3, 5, 8)]
    batch = run.pick(5, 12, 20, 32)
    model = mlp(api, run, widths, "relu", "softmax")
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    n = rows_for(batch)
    run.train(model, run.reals(n, widths[0]), run.classes(n, widths[-1]), batch)


def optimizer_case(api: Any, run: Run, make: Any) -> None:
    train(api, run, make(api.optimizers))


def schedule_case(api: Any, run: Run, make: Any, optimizer: str) -> None:
    schedule = make(api.optimizers.schedules)
    if optimizer == "Adam":
        train(api, run, api.optimizers.Adam(schedule, epsilon=0.1))
    else:
        train(api, run, api.optimizers.SGD(schedule))


@case("optimizer/muon-excluded")
def muon_excluded(api: Any, run: Run) -> None:
    """The head takes Adam's steps, the body Muon's: a tall kernel, a wide one, a square one."""
    layers = [
        api.layers.Dense(units, activation="tanh", name=f"body_{i}")
        for i, units in enumerate([7, 18, 18])
    ]
    head = api.layers.Dense(4, activation="softmax", name="head_1")
    model = run.set_weights(api.Sequential([api.layers.Input((12,)), *layers, head]))
    optimizer = api.optimizers.Muon(0.02, exclude_layers=[r"head_\d"])
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    run.train(model, run.reals(rows_for(9), 12), run.classes(rows_for(9), 4), 9)


for _name, _make in OPTIMIZERS.items():
    case(f"optimizer/{_name}", make=_make)(optimizer_case)
for _name, _make in SCHEDULES.items():
    case(f"schedule/{_name}", make=_make, optimizer="SGD")(schedule_case)
case("schedule/adam-exponential", make=SCHEDULES["exponential"], optimizer="Adam")(schedule_case)
case("schedule/adam-cosine", make=SCHEDULES["cosine"], optimizer="Adam")(schedule_case)
