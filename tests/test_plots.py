"""The figures: what they show, in which colors, and that they leave no global state."""

from __future__ import annotations

import builtins
import io
import sys
from typing import Any

import numpy as np
import pytest

from fastnn import plots
from fastnn.callbacks import History

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 8, 7), np.uint8)
LABELS = np.arange(20) % 10


def guesses(*wrong: int) -> Any:
    """Probabilities with 0.91 at the label; at the class after it for the images ``wrong``."""
    chances = np.full((20, 10), 0.01, np.float32)
    for k, label in enumerate(LABELS):
        chances[k, (label + (k in wrong)) % 10] = 0.91
    return chances


def color(artist: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(artist.get_color() if hasattr(artist, "get_color") else artist.get_facecolor())


def test_predictions() -> None:
    pytest.importorskip("matplotlib")
    figure = plots.predictions(IMAGES, LABELS, guesses(4))
    pairs = list(zip(figure.axes[::2], figure.axes[1::2], strict=True))
    assert len(pairs) == 15
    for k, (image, bars) in enumerate(pairs):
        label, guess = LABELS[k], LABELS[k] + (k == 4)
        wanted = plots.WRONG if k == 4 else plots.RIGHT
        np.testing.assert_array_equal(image.images[0].get_array(), IMAGES[k])
        assert image.get_title() == f"{guess}  91 %" and color(image.title) == wanted
        assert image.get_xlabel() == f"true: {label}"
        assert len(bars.patches) == 10
        assert bars.patches[guess].get_height() == pytest.approx(0.91)
        assert color(bars.patches[guess]) == wanted
        assert color(bars.patches[label]) == plots.RIGHT
        others = {color(bar) for i, bar in enumerate(bars.patches) if i not in (guess, label)}
        assert others == {plots.OTHER}
        assert bars.get_ylim() == (0, 1)


def test_predictions_of_other_shapes() -> None:
    pytest.importorskip("matplotlib")
    names = [f"class {k}" for k in range(10)]
    figure = plots.predictions(
        IMAGES[:3, ..., None] / 255,
        LABELS[:3, None],
        guesses()[:3],
        class_names=names,
        rows=2,
        columns=2,
    )
    assert len(figure.axes) == 6
    assert figure.axes[0].get_title() == "class 0  91 %"
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == names
    plots.predictions(np.zeros((20, 8, 8, 3)), LABELS, guesses())


@pytest.mark.parametrize(
    ("chance", "text"), [(1.0, "100 %"), (0.996, "> 99 %"), (0.5, "50 %"), (0.991, "> 99 %")]
)
def test_almost_certain_is_not_certain(chance: float, text: str) -> None:
    pytest.importorskip("matplotlib")
    chances = np.array([[chance, 1 - chance]])
    figure = plots.predictions(IMAGES[:1], [0], chances, rows=1, columns=1)
    assert figure.axes[0].get_title() == f"0  {text}"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"images": IMAGES[0]}, r"images must be of shape .* got \(8, 7\)"),
        ({"images": IMAGES[:19]}, "19 images"),
        ({"labels": LABELS[:19]}, r"got \(19,\)"),
        ({"labels": LABELS + 1}, "labels must be integers from 0 to 9"),
        ({"labels": LABELS / 2}, "labels must be integers"),
        ({"probabilities": LABELS}, r"\(20, classes\)"),
        ({"class_names": ["a"]}, "1 class_names, but 10"),
        ({"rows": 0}, "rows and columns must be >= 1, got 0 and 3"),
    ],
)
def test_predictions_faults(change: dict[str, Any], fault: str) -> None:
    arguments = {"images": IMAGES, "labels": LABELS, "probabilities": guesses(), **change}
    with pytest.raises(ValueError, match=fault):
        plots.predictions(**arguments)


CURVES = {
    "accuracy": [0.5, 0.8, 0.9],
    "loss": [1.0, 0.5, 0.4],
    "val_accuracy": [0.6, 0.7, 0.65],
    "val_loss": [0.9, 0.6, 0.7],
    "learning_rate": [0.1, 0.1, 0.1],
}


@pytest.mark.parametrize("as_object", [False, True])
def test_history(as_object: bool) -> None:
    pytest.importorskip("matplotlib")
    history = History()
    history.history = CURVES
    figure = plots.history(history if as_object else CURVES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "accuracy"]
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        training, validation = axes.get_lines()
        np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(training.get_ydata(), CURVES[name])
        np.testing.assert_array_equal(validation.get_ydata(), CURVES[f"val_{name}"])
        assert validation.get_markevery() == [1]
        assert "epoch 2" in validation.get_label()


def test_history_without_validation() -> None:
    pytest.importorskip("matplotlib")
    figure = plots.history({"loss": [1.0]})
    assert len(figure.axes) == 1 and len(figure.axes[0].get_lines()) == 1


def test_history_faults() -> None:
    for nothing in ({}, {"loss": []}, {"val_loss": [1.0]}):
        with pytest.raises(ValueError, match="no finished epoch"):
            plots.history(nothing)


def test_figures_can_be_written_and_leave_no_state() -> None:
    pytest.importorskip("matplotlib")
    for figure in (plots.predictions(IMAGES, LABELS, guesses()), plots.history(CURVES)):
        file = io.BytesIO()
        figure.savefig(file)
        assert file.getvalue().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"pip install fastnn\[plots\]"):
        plots.history(CURVES)
    with pytest.raises(ImportError, match=r"pip install fastnn\[plots\]"):
        plots.predictions(IMAGES, LABELS, guesses())
