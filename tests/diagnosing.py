"""What stands for ``diagnose``; in a module of its own, for processes started anew to import."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fastnn.health.report import Progress
from fastnn.models import Sequential


def diagnose(model: Any, x: Any, y: Any, batch_size: int, remedies: bool) -> Any:
    """Knows of learning rates only; its remedies are an ordinary one and the one there is."""
    rate = float(model.optimizer.learning_rate)
    verdict = "healthy" if 1e-4 < rate < 0.5 else "learning_rate"

    def with_rate(rate: float) -> Any:
        def apply() -> Any:
            treated = Sequential.from_config(model.get_config())
            treated.set_weights(model.get_weights())
            settings = model._compile_config()
            settings["optimizer"]["config"]["learning_rate"] = rate
            treated.compile(**settings)
            return treated

        return apply

    tried = [
        SimpleNamespace(name=name, change=f"to {new}", helped=name == "ordinary", apply=apply,
                        fit_arguments={"batch_size": 16, "epochs": 99})
        for name, new in (("ordinary", 1e-3), ("as it is", rate))
        for apply in [with_rate(new)]
    ]  # fmt: skip
    learned = 0.89 if verdict == "healthy" else 0.1
    return SimpleNamespace(
        verdict=verdict,
        cause="",
        remedies=tried * remedies,
        progress=[Progress(100, learned, (0.9,)), Progress(400, learned, (0.9,))],
        folds=[],
    )
