"""Record what Keras 3 and PyTorch give for learning-rate schedules, in ``schedules.json``.

    pip install keras torch
    python tests/reference/make_schedules.py

Keras computes in float64 here, on PyTorch (its NumPy backend would take float32 whatever floatx
is); PyTorch's own schedulers use Python's floats.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

STEPS = [0, 1, 2, 3, 7, 9, 10, 11, 15, 19, 20, 21, 29, 30, 31, 50, 69, 70, 71, 99, 100, 101, 1000]

KERAS: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"decay_steps": 10, "decay_rate": 0.9}),
    ("ExponentialDecay", {"decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("ExponentialDecay", {"decay_steps": 10, "decay_rate": 1.01}),
    ("InverseTimeDecay", {"decay_steps": 10, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"decay_steps": 7, "decay_rate": 2.0, "staircase": True}),
    ("PolynomialDecay", {"decay_steps": 30}),
    ("PolynomialDecay", {"decay_steps": 30, "end_learning_rate": 0.01, "power": 0.5}),
    ("PolynomialDecay", {"decay_steps": 7, "power": 2.0, "cycle": True}),
    ("PolynomialDecay", {"decay_steps": 30, "end_learning_rate": 0.5}),
    ("CosineDecay", {"decay_steps": 70}),
    ("CosineDecay", {"decay_steps": 70, "alpha": 0.1}),
    ("CosineDecay", {"decay_steps": 70, "warmup_target": 0.4, "warmup_steps": 10}),
    ("CosineDecay", {"decay_steps": 70, "alpha": 0.2, "warmup_target": 0.4, "warmup_steps": 0}),
    ("CosineDecayRestarts", {"first_decay_steps": 10}),
    ("CosineDecayRestarts", {"first_decay_steps": 10, "t_mul": 1.0, "m_mul": 0.9}),
    ("CosineDecayRestarts", {"first_decay_steps": 9, "t_mul": 1.5, "m_mul": 0.5, "alpha": 0.1}),
    (
        "PiecewiseConstantDecay",
        {"boundaries": [10, 20, 70], "values": [0.1, 0.05, 0.01, 0.001]},
    ),
    ("PiecewiseConstantDecay", {"boundaries": [10], "values": [0.1, 0.2]}),
]

TORCH: list[dict[str, Any]] = [
    {"total_steps": 100},
    {"total_steps": 99, "anneal_strategy": "linear"},
    {"total_steps": 100, "pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 100.0},
    {"total_steps": 100, "three_phase": True},
    {"total_steps": 73, "three_phase": True, "pct_start": 0.2, "anneal_strategy": "linear"},
    {"total_steps": 5, "pct_start": 0.1},
]


def keras_rates(name: str, config: dict[str, Any]) -> list[float]:
    """The values at ``STEPS``."""
    from keras.optimizers import schedules

    schedule = getattr(schedules, name)(**config)
    return [float(schedule(step)) for step in STEPS]


def torch_rates(config: dict[str, Any]) -> list[float]:
    """The values at every step from 0 to the last."""
    import torch

    arguments = {"max_lr" if k == "max_learning_rate" else k: v for k, v in config.items()}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, cycle_momentum=False, **arguments)
    rates = []
    for _ in range(config["total_steps"]):
        rates.append(float(scheduler.get_last_lr()[0]))
        if len(rates) < config["total_steps"]:
            optimizer.step()
            scheduler.step()
    return rates


def main() -> None:
    """Write the file."""
    import keras
    import torch

    keras.config.set_floatx("float64")
    cases = []
    for name, settings in KERAS:
        first = {} if "values" in settings else {"initial_learning_rate": 0.1}
        config = first | settings
        rates = keras_rates(name, config)
        cases.append({"class_name": name, "config": config, "steps": STEPS, "rates": rates})
    for settings in TORCH:
        config = {"max_learning_rate": 0.1} | settings
        rates = torch_rates(config)
        steps = list(range(len(rates)))
        cases.append({"class_name": "OneCycle", "config": config, "steps": steps, "rates": rates})
    origin = {"keras": keras.__version__, "torch": torch.__version__}
    path = Path(__file__).with_name("schedules.json")
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f'{{"origin": {json.dumps(origin)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
