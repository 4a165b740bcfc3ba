"""The figures: what they show, in which colors, and that they leave no global state."""

from __future__ import annotations

import builtins
import io
import sys
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, plots
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


def small_net(channels: int = 1) -> fnn.Sequential:
    return fnn.Sequential([
        layers.Input((8, 7, channels)), layers.Rescaling(1 / 255),
        layers.Conv2D(5, (3, 2), name="first"), layers.Conv2D(4, 3, activation="relu", name="map"),
        layers.DepthwiseConv2D(1, name="depth"), layers.Flatten(name="flat"),
        layers.Dense(3, activation="softmax", name="out"),
    ])  # fmt: skip


def drawn(figure: Any) -> list[Any]:
    return [axes.images[0].get_array() for axes in figure.axes if axes.get_visible()]


def test_filters_of_one_channel() -> None:
    pytest.importorskip("matplotlib")
    layer = small_net().get_layer("first")
    kernel = layer.get_weights()[0]
    figure = plots.filters(layer, columns=3)
    pictures = drawn(figure)
    assert len(pictures) == 5 and len(figure.axes) == 6
    for k, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture, kernel[:, :, 0, k])
    scales = {axes.images[0].get_clim() for axes in figure.axes[:5]}
    assert scales == {(-np.abs(kernel).max(), np.abs(kernel).max())}


def test_filters_of_colors_and_of_many_channels() -> None:
    pytest.importorskip("matplotlib")
    model = small_net(3)
    kernel = model.get_layer("first").get_weights()[0]
    bound = np.abs(kernel).max()
    for k, picture in enumerate(drawn(plots.filters(model.get_layer("first")))):
        np.testing.assert_allclose(picture, 0.5 + kernel[..., k] / (2 * bound), rtol=1e-6)
    kernel = model.get_layer("map").get_weights()[0]
    pictures = drawn(plots.filters(model.get_layer("map"), columns=3))
    assert len(pictures) == 9  # three filters of four, with three channels of five
    np.testing.assert_array_equal(pictures[3 * 2 + 1], kernel[:, :, 1, 2])
    assert len(drawn(plots.filters(model.get_layer("depth")))) == 4


def test_feature_maps() -> None:
    pytest.importorskip("matplotlib")
    model = small_net()
    kernel, bias = model.get_layer("map").get_weights()
    kernel[..., 1], bias[1] = 0, -1
    model.get_layer("map").set_weights([kernel, bias])
    figure = plots.feature_maps(model, IMAGES[0, ..., None], "map", columns=3)
    pictures = drawn(figure)
    assert len(pictures) == 5
    np.testing.assert_array_equal(pictures[0], IMAGES[0])
    output = fnn.Model(model.inputs, model.get_layer("map").output).predict(
        IMAGES[:1, ..., None], verbose=0
    )[0]
    for k in range(4):
        np.testing.assert_array_equal(pictures[1 + k], output[..., k])
    frames = [color_of(axes.spines["left"].get_edgecolor()) for axes in figure.axes[1:5]]
    assert frames[1] == plots.UNSEEN, "0 everywhere"
    assert [frame == plots.UNSEEN for frame in frames] == [not m.any() for m in pictures[1:]]
    again = plots.feature_maps(model, IMAGES[0, ..., None], model.get_layer("map"))
    np.testing.assert_array_equal(drawn(again)[2], pictures[2])


def color_of(edge: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(edge)


def test_filters_and_feature_maps_faults() -> None:
    model = small_net()
    with pytest.raises(ValueError, match=r"built layer with a kernel .* got Dense 'out'"):
        plots.filters(model.get_layer("out"))
    with pytest.raises(ValueError, match="got Conv2D"):
        plots.filters(layers.Conv2D(3, 3))
    with pytest.raises(ValueError, match="columns must be >= 1, got 0"):
        plots.filters(model.get_layer("first"), columns=0)
    with pytest.raises(ValueError, match=r"shape \(8, 7, 1\), got \(8, 7\)"):
        plots.feature_maps(model, IMAGES[0], "map")
    with pytest.raises(ValueError, match="layer 'flat' has no outputs"):
        plots.feature_maps(model, IMAGES[0, ..., None], "flat")
    with pytest.raises(ValueError, match="no layer 'magic'"):
        plots.feature_maps(model, IMAGES[0, ..., None], "magic")
    two = fnn.Model([one := fnn.Input((3,)), other := fnn.Input((3,))], layers.Add()([one, other]))
    with pytest.raises(ValueError, match="with one input, got 2"):
        plots.feature_maps(two, IMAGES[0], "add")


@pytest.mark.parametrize("as_probabilities", [False, True])
def test_confusion_matrix(as_probabilities: bool) -> None:
    pytest.importorskip("matplotlib")
    chances = guesses(4, 14)  # both are 4, taken for 5
    predicted = chances if as_probabilities else chances.argmax(axis=1)
    axes = plots.confusion_matrix(LABELS[:, None], predicted).axes[0]
    counts = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert counts == {**{(k, k): "2" for k in range(10) if k != 4}, (5, 4): "2"}
    pixels = axes.images[0].get_array()
    assert color_of(pixels[0, 0]) == plots.RIGHT and color_of(pixels[4, 5]) == plots.WRONG
    assert color_of(pixels[0, 1]) == "#ffffff"
    assert axes.get_xlabel() == "predicted" and axes.get_ylabel() == "true"


@pytest.mark.parametrize(
    ("labels", "predictions", "names", "fault"),
    [
        (LABELS, LABELS[:3], None, r"got \(20,\) and \(3,\)"),
        (LABELS, LABELS / 2, None, "predictions must be integers"),
        (LABELS - 1, LABELS, None, "labels must be integers from 0"),
        (LABELS + 1, guesses(), None, "integers from 0 to 9"),
        (LABELS, guesses(), ["a"], "1 class_names, but 10"),
        (LABELS, LABELS, ["a"], "integers from 0 to 0"),
    ],
)
def test_confusion_matrix_faults(labels: Any, predictions: Any, names: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        plots.confusion_matrix(labels, predictions, class_names=names)


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
