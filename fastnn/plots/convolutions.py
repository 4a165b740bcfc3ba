"""What convolutions look for, and what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastnn.plots.style import FAINT, OTHER, TEXT, UNSEEN, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from fastnn.layers import Layer
    from fastnn.models import Model


def filters(layer: Layer, *, columns: int = 8) -> Figure:
    """Draw the kernels of a convolution as pictures.

    Where the layer looks at one channel, a filter is one picture: red below 0, white at 0, blue
    above, all on one scale. Where it looks at three, as the first layer of a net for RGB does, its
    picture has these colors, gray at 0. Where it looks at more, a row is a filter, with a picture
    for each of the first ``columns`` channels, and the first ``columns`` filters are drawn. Of a
    depthwise convolution there is a picture for each of its outputs.

    Args:
        layer: A built ``Conv2D``, ``DepthwiseConv2D`` or other layer with a kernel (height, width,
            in, out).
        columns: Pictures beside each other.

    Returns:
        A figure that is registered nowhere: write it with ``figure.savefig(path)``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the layer has no such kernel, or ``columns`` is below 1.
    """
    kernel = _kernel(layer)
    _check_columns("filters", columns)
    bound = float(np.abs(kernel).max()) or 1.0
    channels = kernel.shape[2]
    if channels == 3 and kernel.shape[:2] != (1, 1):
        pictures = list(np.moveaxis(0.5 + kernel / (2 * bound), 3, 0))
    elif channels == 1:
        pictures = list(np.moveaxis(kernel[:, :, 0], 2, 0))
    else:
        some = kernel[:, :, :columns, :columns]
        pictures = list(some.transpose(3, 2, 0, 1).reshape(-1, *some.shape[:2]))
        columns = some.shape[2]
    cells = _grid(len(pictures), columns, kernel.shape[1] / kernel.shape[0], layer.name)
    for axes, picture in zip(cells, pictures, strict=True):
        axes.imshow(picture, cmap="RdBu", vmin=-bound, vmax=bound, interpolation="nearest")
    return cast("Figure", cells[0].figure)


def feature_maps(
    model: Model, picture: ArrayLike, layer: Layer | str, *, columns: int = 8
) -> Figure:
    """Draw one picture, and what each channel of a layer makes of it.

    A map is white at its lowest and dark at its highest value; one that is 0 everywhere, as that of
    a dead filter is for all pictures, has an orange frame.

    Args:
        model: With one input, built.
        picture: One example, (height, width[, channels]), without the batch.
        layer: A layer of the model with outputs (batch, height, width, channels), or its name.
        columns: Pictures beside each other.

    Returns:
        A figure that is registered nowhere: write it with ``figure.savefig(path)``.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the model has several inputs or no such layer, the layer's outputs are no
            pictures, the picture has another shape, or ``columns`` is below 1.
    """
    from fastnn.models import Model

    _check_columns("feature_maps", columns)
    if len(model.inputs) != 1:
        raise ValueError(f"feature_maps: wanted a model with one input, got {len(model.inputs)}")
    found = model.get_layer(layer) if isinstance(layer, str) else layer
    pixels, wanted = np.asarray(picture), model.inputs[0].shape[1:]
    if pixels.shape != wanted:
        raise ValueError(f"feature_maps: picture must have shape {wanted}, got {pixels.shape}")
    output = found.output
    if isinstance(output, list) or len(output.shape) != 4:
        raise ValueError(
            f"feature_maps: layer {found.name!r} has no outputs (batch, height, width, channels)"
        )
    maps = Model(model.inputs, output).predict(pixels[None], verbose=0)[0]
    cells = _grid(1 + maps.shape[2], columns, maps.shape[1] / maps.shape[0], found.name)
    _draw_input(cells[0], pixels)
    for axes, channel in zip(cells[1:], np.moveaxis(maps, 2, 0), strict=True):
        axes.imshow(channel, cmap="Blues", interpolation="nearest")
        if not channel.any():
            for spine in axes.spines.values():
                spine.set(color=UNSEEN, linewidth=1.8)
    return cast("Figure", cells[0].figure)


def _kernel(layer: Layer) -> NDArray[np.float32]:
    """(height, width, in, out); of a depthwise convolution (height, width, 1, out)."""
    from fastnn.layers import DepthwiseConv2D

    depthwise = isinstance(layer, DepthwiseConv2D)
    weight = getattr(layer, "kernel", None) if layer.built else None
    if weight is None or len(weight.shape) != 4:
        raise ValueError(
            f"filters: wanted a built layer with a kernel (height, width, in, out), got "
            f"{type(layer).__name__} {layer.name!r}"
        )
    kernel: NDArray[np.float32] = weight.numpy()
    return kernel.reshape(*kernel.shape[:2], 1, -1) if depthwise else kernel


def _check_columns(owner: str, columns: int) -> None:
    if columns < 1:
        raise ValueError(f"{owner}: columns must be >= 1, got {columns}")


def _grid(count: int, columns: int, proportion: float, title: str) -> list[Axes]:
    """Empty axes for ``count`` pictures of this width to height."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(max(2.5, 0.95 * columns * max(1, proportion)), 0.95 * rows + 0.5)
    figure.suptitle(title, color=TEXT, fontsize=12, fontweight="bold", x=0.02, ha="left")
    found = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in found:
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color=OTHER, linewidth=0.8)
    for axes in found[count:]:
        axes.set_visible(False)
    return found[:count]


def _draw_input(axes: Axes, pixels: NDArray[Any]) -> None:
    gray = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if gray.ndim == 3 and gray.dtype.kind == "f" and gray.max() > 1:
        gray = gray / 255
    axes.imshow(gray if gray.ndim == 2 else gray[..., :3], cmap="gray_r", interpolation="nearest")
    axes.set_xlabel("input", color=FAINT, fontsize=8, labelpad=2)
