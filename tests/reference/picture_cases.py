"""Single layers for pictures and signals: settings, inputs and the gradient of the output.

What Keras makes of them is recorded by ``make_picture_layers.py``. Everything is rebuilt from the
case's name.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.protocol import Run


@dataclass(frozen=True)
class LayerCase:
    """A layer of Keras's and fastnn's by its class's name, and the shapes that it is called on."""

    name: str
    layer: str
    settings: dict[str, Any]
    inputs: tuple[tuple[int, ...], ...]

    def run(self) -> Run:
        """A fresh source of the case's numbers: first the inputs, then the weights, then dy."""
        return Run(self.name)

    def arrays(self, run: Run) -> list[NDArray]:
        """The inputs."""
        return [run.reals(*shape) for shape in self.inputs]

    def weights(self, run: Run, variables: Any) -> list[NDArray]:
        """Values for the variables of the built layer."""
        values = []
        for variable in variables:
            shape = tuple(variable.shape)
            if variable.name in ("gamma", "moving_variance"):
                values.append(run.reals(*shape, low=0.5, high=2.0))
            else:
                limit = math.sqrt(3 / math.prod(shape[:-1])) if len(shape) > 1 else 0.5
                values.append(run.reals(*shape, low=-limit, high=limit))
        return values


def cases() -> list[LayerCase]:
    """All of them, none of which has a name twice."""
    made = [*_written(), *(_drawn(number) for number in range(60))]
    assert len({case.name for case in made}) == len(made)
    return made


def _case(name: str, layer: str, *inputs: tuple[int, ...], **settings: Any) -> LayerCase:
    return LayerCase(name, layer, settings, inputs)


def _written() -> list[LayerCase]:
    picture, signal = (3, 7, 8, 5), (3, 9, 5)
    same = {"padding": "same"}
    return [
        _case("conv2d/1x1", "Conv2D", picture, filters=17, kernel_size=1),
        _case("conv2d/3x3", "Conv2D", picture, filters=33, kernel_size=3),
        _case("conv2d/3x3-same", "Conv2D", (1, 5, 5, 1), filters=32, kernel_size=3, **same),
        _case("conv2d/7x7-same-of-3x2", "Conv2D", (2, 3, 2, 3), filters=4, kernel_size=7, **same),
        _case("conv2d/whole", "Conv2D", (2, 4, 3, 2), filters=5, kernel_size=(4, 3)),
        _case(
            "conv2d/stride-2-same-odd",
            "Conv2D",
            (2, 9, 7, 3),
            filters=6,
            kernel_size=3,
            strides=2,
            **same,
        ),
        _case(
            "conv2d/stride-2-same-even",
            "Conv2D",
            (2, 8, 6, 3),
            filters=6,
            kernel_size=3,
            strides=2,
            **same,
        ),
        _case(
            "conv2d/stride-3-of-1x1", "Conv2D", (2, 8, 7, 3), filters=6, kernel_size=1, strides=3
        ),
        _case(
            "conv2d/strides-over-gaps",
            "Conv2D",
            (2, 9, 9, 3),
            filters=3,
            kernel_size=2,
            strides=(3, 4),
        ),
        _case(
            "conv2d/dilated",
            "Conv2D",
            (2, 9, 8, 3),
            filters=6,
            kernel_size=(3, 2),
            dilation_rate=(2, 3),
        ),
        _case(
            "conv2d/dilated-same",
            "Conv2D",
            picture,
            filters=6,
            kernel_size=3,
            dilation_rate=(2, 1),
            **same,
        ),
        _case(
            "conv2d/groups", "Conv2D", (2, 5, 6, 12), filters=18, kernel_size=3, groups=3, **same
        ),
        _case(
            "conv2d/groups-as-channels", "Conv2D", (2, 5, 6, 4), filters=8, kernel_size=3, groups=4
        ),
        _case("conv2d/35-channels", "Conv2D", (1, 4, 4, 35), filters=19, kernel_size=3, **same),
        _case("conv2d/no-bias", "Conv2D", picture, filters=3, kernel_size=2, use_bias=False),
        *(
            _case(
                f"conv2d/{kind}", "Conv2D", (2, 5, 4, 3), filters=6, kernel_size=3, activation=kind
            )
            for kind in ("relu", "sigmoid", "gelu", "softmax")
        ),
        _case("conv1d/3", "Conv1D", signal, filters=17, kernel_size=3),
        _case("conv1d/same", "Conv1D", signal, filters=4, kernel_size=4, **same),
        _case("conv1d/causal", "Conv1D", signal, filters=4, kernel_size=3, padding="causal"),
        _case(
            "conv1d/causal-dilated",
            "Conv1D",
            signal,
            filters=4,
            kernel_size=3,
            padding="causal",
            dilation_rate=3,
        ),
        _case(
            "conv1d/causal-strided",
            "Conv1D",
            signal,
            filters=4,
            kernel_size=3,
            padding="causal",
            strides=2,
        ),
        _case("conv1d/groups", "Conv1D", (2, 9, 6), filters=4, kernel_size=3, groups=2, strides=2),
        _case("depthwise2d/3x3", "DepthwiseConv2D", (2, 6, 5, 17), kernel_size=3),
        _case(
            "depthwise2d/multiplier",
            "DepthwiseConv2D",
            picture,
            kernel_size=(2, 3),
            depth_multiplier=4,
            **same,
        ),
        _case(
            "depthwise2d/strides", "DepthwiseConv2D", (2, 9, 8, 3), kernel_size=3, strides=2, **same
        ),
        _case(
            "depthwise2d/dilated",
            "DepthwiseConv2D",
            picture,
            kernel_size=2,
            dilation_rate=3,
            activation="elu",
        ),
        _case(
            "depthwise1d/multiplier",
            "DepthwiseConv1D",
            signal,
            kernel_size=3,
            depth_multiplier=2,
            strides=2,
        ),
        _case("separable2d/3x3", "SeparableConv2D", picture, filters=18, kernel_size=3, **same),
        _case(
            "separable2d/all",
            "SeparableConv2D",
            (2, 9, 8, 3),
            filters=7,
            kernel_size=(3, 2),
            strides=2,
            depth_multiplier=3,
            activation="relu",
        ),
        _case(
            "separable2d/dilated",
            "SeparableConv2D",
            picture,
            filters=4,
            kernel_size=2,
            dilation_rate=2,
            use_bias=False,
        ),
        _case(
            "separable1d/same",
            "SeparableConv1D",
            signal,
            filters=6,
            kernel_size=4,
            depth_multiplier=2,
            **same,
        ),
        *(
            _case(f"pool2d/{kind.lower()}-{name}", f"{kind}Pooling2D", shape, **settings)
            for kind in ("Max", "Average")
            for name, shape, settings in (
                ("2x2", picture, {"pool_size": 2}),
                ("3x3-stride-2-same", (2, 7, 8, 17), {"pool_size": 3, "strides": 2, **same}),
                ("3x2-stride-1-same", picture, {"pool_size": (3, 2), "strides": 1, **same}),
                ("2x2-stride-3", (2, 8, 9, 2), {"pool_size": 2, "strides": 3}),
                ("5x5-same-of-3x2", (2, 3, 2, 3), {"pool_size": 5, "strides": 1, **same}),
                ("overlapping", (2, 7, 7, 3), {"pool_size": 3, "strides": (2, 1)}),
            )
        ),
        *(
            _case(f"pool1d/{kind.lower()}-{name}", f"{kind}Pooling1D", signal, **settings)
            for kind in ("Max", "Average")
            for name, settings in (
                ("2", {"pool_size": 2}),
                ("5-moving", {"pool_size": 5, "strides": 1, **same}),
            )
        ),
        *(
            _case(
                f"global{rank}d/{kind.lower()}{'-kept' if keep else ''}",
                f"Global{kind}Pooling{rank}D",
                shape,
                keepdims=keep,
            )
            for kind in ("Max", "Average")
            for rank, shape in ((1, signal), (2, picture))
            for keep in (False, True)
        ),
        _case("padding2d/sides", "ZeroPadding2D", picture, padding=((1, 0), (2, 3))),
        _case("padding2d/one", "ZeroPadding2D", picture, padding=2),
        _case("padding1d/sides", "ZeroPadding1D", signal, padding=(0, 2)),
        _case("cropping2d/sides", "Cropping2D", picture, cropping=((1, 0), (2, 3))),
        _case("cropping1d/one", "Cropping1D", signal, cropping=2),
        _case("up2d/nearest", "UpSampling2D", picture, size=(2, 3)),
        _case("up2d/bilinear", "UpSampling2D", picture, size=(2, 3), interpolation="bilinear"),
        _case(
            "up2d/bilinear-of-1x1", "UpSampling2D", (2, 1, 1, 3), size=4, interpolation="bilinear"
        ),
        _case("up1d/3", "UpSampling1D", signal, size=3),
        _case("permute/picture", "Permute", picture, dims=(3, 1, 2)),
        _case("permute/signal", "Permute", signal, dims=(2, 1)),
        _case("group/3-of-6", "GroupNormalization", (2, 3, 4, 6), groups=3),
        _case("group/instance", "GroupNormalization", (2, 3, 4, 6), groups=-1, epsilon=0.01),
        _case("group/one-of-33", "GroupNormalization", (2, 3, 2, 33), groups=1, center=False),
        _case("group/rows", "GroupNormalization", (5, 12), groups=4, scale=False),
        _case("group/axis-1", "GroupNormalization", (2, 6, 3, 4), groups=2, axis=1),
        _case("layer/last", "LayerNormalization", picture),
        _case("layer/all", "LayerNormalization", picture, axis=[1, 2, 3]),
        _case("layer/two", "LayerNormalization", picture, axis=[-1, -2], epsilon=0.01),
        _case("dense/pictures", "Dense", picture, units=7, activation="relu"),
        _case("dense/signals", "Dense", signal, units=18),
        _case("softmax/last", "Softmax", picture),
        _case("softmax/axis-1", "Softmax", picture, axis=1),
        *(
            _case(
                f"merge/{kind.lower()}",
                kind,
                picture,
                picture,
                *(() if kind == "Subtract" else (picture,)),
            )
            for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
        ),
        _case("concatenate/channels", "Concatenate", (2, 3, 4, 5), (2, 3, 4, 17), (2, 3, 4, 1)),
        _case("concatenate/height", "Concatenate", (2, 3, 4, 5), (2, 1, 4, 5), axis=1),
        _case("concatenate/width", "Concatenate", (2, 3, 4, 5), (2, 3, 1, 5), axis=-2),
    ]


def _drawn(number: int) -> LayerCase:
    """A convolution or a pooling layer with settings drawn by ``number``."""
    random = np.random.default_rng(number)

    def upto(high: int) -> int:
        return int(random.integers(1, high + 1))

    layer = ("Conv2D", "DepthwiseConv2D", "Conv2D", "MaxPooling2D", "AveragePooling2D")[number % 5]
    settings: dict[str, Any] = {"padding": ("valid", "same")[upto(2) - 1]}
    window = (upto(7), upto(7)) if upto(2) == 1 else (upto(3),) * 2
    settings["strides"] = strides = (upto(3), upto(3))
    dilation = (1, 1)
    if layer.endswith("Pooling2D"):
        settings["pool_size"] = window
        channels = upto(35)
    else:
        settings["kernel_size"] = window
        if upto(3) == 1:
            settings["strides"] = 1
            settings["dilation_rate"] = dilation = (upto(3), upto(3))
        channels = upto(20)
        if layer == "DepthwiseConv2D":
            settings["depth_multiplier"] = upto(3)
        else:
            settings["groups"] = groups = upto(3)
            channels = groups * -(-channels // groups)
            settings["filters"] = groups * upto(35 // groups)
    # Where nothing is padded, the picture is as large as the window at least.
    least = [1 + (size - 1) * rate for size, rate in zip(window, dilation, strict=True)]
    extents = (
        upto(9) if settings["padding"] == "same" else size + upto(5 + stride) - 1
        for size, stride in zip(least, strides, strict=True)
    )
    return LayerCase(f"drawn/{number}", layer, settings, ((upto(3), *extents, channels),))


class Recorded:
    """What ``picture_layers.npz`` holds."""

    def __init__(self) -> None:
        with np.load(Path(__file__).parent / "picture_layers.npz") as arrays:
            self._index = json.loads(str(arrays["index"]))
            self._values = arrays["values"]
        self.origin: dict[str, str] = self._index["origin"]

    @property
    def names(self) -> list[str]:
        """Of the cases."""
        return list(self._index["cases"])

    def digest(self, name: str) -> int:
        """CRC-32 of inputs, weights and dy that the case was recorded with."""
        return self._index["cases"][name]["digest"]

    def y(self, name: str) -> NDArray[np.float32]:
        """The output."""
        return self._array(self._index["cases"][name]["y"])

    def gradients(self, name: str) -> tuple[list[NDArray], list[NDArray]]:
        """Those of the inputs and of the trained weights."""
        case = self._index["cases"][name]
        dx, dw = ([self._array(each) for each in case[key]] for key in ("dx", "dw"))
        return dx, dw

    def _array(self, place: list[Any]) -> NDArray[np.float32]:
        offset, shape = place
        return self._values[offset : offset + math.prod(shape)].reshape(shape)
