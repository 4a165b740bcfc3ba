"""Every warning points at the line of the user that led to it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastnn as fnn
from fastnn.health.report import Report, Trial

PACKAGE = Path(fnn.__file__).parent

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def net(rate: float = 0.1) -> fnn.Sequential:
    model = fnn.Sequential([fnn.layers.Input((4,)), fnn.layers.Dense(2, "softmax")])
    model.compile(fnn.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    return model


def sick() -> fnn.Sequential:
    init = fnn.initializers.RandomNormal(stddev=30.0)
    stack = [fnn.layers.Dense(8, "tanh", kernel_initializer=init) for _ in range(2)]
    model = fnn.Sequential([fnn.layers.Input((4,)), *stack, fnn.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def early_stopping(folder: Path) -> None:
    net().fit(X, Y, verbose=0, callbacks=[fnn.callbacks.EarlyStopping("val_loss")])  # here


def reduced_rate(folder: Path) -> None:
    net().fit(X, Y, verbose=0, callbacks=[fnn.callbacks.ReduceLROnPlateau("val_loss")])  # here


def checkpoint(folder: Path) -> None:
    best = fnn.callbacks.ModelCheckpoint(
        str(folder / "best.safetensors"), monitor="val_loss", save_best_only=True
    )
    net().fit(X, Y, verbose=0, callbacks=[best])  # here


def gradient_health(folder: Path) -> None:
    looking = fnn.callbacks.GradientHealth(every=1)
    sick().fit(X, Y, batch_size=1, verbose=0, callbacks=[looking])  # here


def r2_score(folder: Path) -> None:
    metric = fnn.metrics.R2Score(num_regressors=3)
    metric.compute(X[:4, :1], X[:4, 1:2])  # here


def evaluated_r2(folder: Path) -> None:
    model = fnn.Sequential([fnn.layers.Input((4,)), fnn.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[fnn.metrics.R2Score(num_regressors=100)])
    model.evaluate(X, X[:, :1], verbose=0)  # here


def transparent_jpeg(folder: Path) -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    fnn.utils.save_img(folder / "a.jpeg", picture, scale=False)  # here


def damaged_pictures(folder: Path) -> None:
    for name in "ab":
        (folder / name).mkdir()
        fnn.utils.save_img(folder / name / "0.png", np.zeros((4, 4, 3), np.uint8), scale=False)
    (folder / "a" / "1.png").write_bytes(b"no picture")
    fnn.utils.image_dataset_from_directory(folder, image_size=(4, 4), on_error="skip")  # here


def no_cure(folder: Path) -> None:
    model = net()
    report = Report("dead", "", (), (), Trial(()), given=lambda: model)
    report.cure()  # here


CASES: list[Callable[[Path], None]] = [
    early_stopping, reduced_rate, checkpoint, gradient_health, r2_score, evaluated_r2,
    transparent_jpeg, damaged_pictures, no_cure,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_warning_points_at_the_users_line(
    case: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.warns(UserWarning) as caught:
        case(tmp_path)
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    for warning in caught:
        assert warning.filename == __file__
        assert "# here" in lines[warning.lineno - 1], lines[warning.lineno - 1]


def test_a_users_subclass_is_the_users(tmp_path: Path) -> None:
    class Mine(fnn.callbacks.EarlyStopping):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            super().on_epoch_end(epoch, logs or {})

    with pytest.warns(UserWarning, match="val_loss") as caught:
        net().fit(X, Y, verbose=0, callbacks=[Mine("val_loss")])
    inside = Mine.on_epoch_end.__code__.co_firstlineno + 1
    assert (caught[0].filename, caught[0].lineno) == (__file__, inside)


def test_there_is_no_other_way_to_warn() -> None:
    """So that the cases above are all: whoever adds one adds it there."""
    callers = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("warn", "warn_explicit"):
                callers.append(path.name)
    assert callers == ["_warnings.py"]


def test_code_without_a_caller_outside_still_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn import _warnings

    monkeypatch.setattr(_warnings, "_PACKAGE", sys.prefix[0])  # every file counts as inside
    with pytest.warns(UserWarning, match="somewhere"):
        _warnings.warn("somewhere")
