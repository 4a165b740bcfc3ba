"""onnxruntime; it predicts only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fastnn.bench import nets
from fastnn.bench.peers import base

# A version that every onnxruntime since 1.14 knows.
_OPSET = 17
_IR = 8


class _Graph:
    """Adds nodes one after another; ``end`` is the name of the last one's output."""

    def __init__(self, layers: Sequence[nets.Layer]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.end = "x"
        self._weights = iter(base.start_weights(tuple(layers)))
        self._add_layers(layers)
        self._add("Softmax")

    def _add_layers(self, layers: Sequence[nets.Layer]) -> None:
        for i, layer in enumerate(layers):
            if isinstance(layer, nets.Dense):
                kernel = next(self._weights)
                if i and isinstance(flat := layers[i - 1], nets.Flatten):
                    # ONNX's pictures have their channels first.
                    apart = kernel.reshape(*flat.shape, -1).transpose(2, 0, 1, 3)
                    kernel = apart.reshape(kernel.shape)
                self._add("Gemm", kernel, next(self._weights))
            elif isinstance(layer, nets.Conv):
                kernel = next(self._weights).transpose(3, 2, 0, 1)
                bias = [next(self._weights)] if layer.bias else []
                strides = [layer.stride] * 2
                self._add("Conv", kernel, *bias, auto_pad="SAME_UPPER", strides=strides)
            elif isinstance(layer, nets.Norm):
                zeros, ones = (np.full(layer.channels, c, np.float32) for c in (0, 1))
                self._add("BatchNormalization", ones, zeros, zeros, ones, epsilon=base.NORM_EPSILON)
            elif isinstance(layer, nets.Residual):
                begin = self.end
                self._add_layers(layer.body)
                body, self.end = self.end, begin
                self._add_layers(layer.shortcut)
                self._add("Add", also=[body])
                self._add("Relu")
            elif isinstance(layer, nets.MaxPool):
                self._add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            elif isinstance(layer, nets.GlobalAverage):
                self._add("GlobalAveragePool")
                self._add("Flatten")
            elif isinstance(layer, nets.Flatten):
                self._add("Flatten")
            if isinstance(layer, nets.Weighted | nets.Norm) and layer.relu:
                self._add("Relu")

    def _add(
        self, kind: str, *arrays: np.ndarray, also: Sequence[str] = (), **settings: Any
    ) -> None:
        name = f"{kind}{len(self.nodes)}"
        inputs = [self.end, *also]
        for i, array in enumerate(arrays):
            inputs.append(f"{name}_{i}")
            self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), inputs[-1]))
        self.nodes.append(helper.make_node(kind, inputs, [name], **settings))
        self.end = name


def _model(layers: Sequence[nets.Layer], shape: tuple[int, ...]) -> onnx.ModelProto:
    graph = _Graph(layers)
    *image, channels = shape
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, channels, *image])
    target = helper.make_tensor_value_info(graph.end, TensorProto.FLOAT, None)
    made = helper.make_graph(graph.nodes, "net", [source], [target], graph.tensors)
    opset = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(made, opset_imports=opset, ir_version=_IR)


class OnnxPeer(base.Peer):
    convolves = True

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            _model(job.layers, job.shape).SerializeToString(), options,
            providers=["CPUExecutionProvider"],
        )  # fmt: skip

    def arranged(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(x, -1, 1))

    def predict(self, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._session.run(None, {"x": x})[0]
        return found

    @classmethod
    def version(cls) -> str:
        return f"onnxruntime {onnxruntime.__version__}"
