"""onnxruntime on a graph of Gemm, Relu and Softmax; it predicts only."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fastnn.bench.peers import base

# A version that every onnxruntime since 1.14 knows.
_OPSET = 17
_IR = 8


def _model(widths: tuple[int, ...]) -> onnx.ModelProto:
    nodes, tensors = [], []
    weights = base.start_weights(widths)
    last = len(widths) - 2
    for i, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        tensors.append(numpy_helper.from_array(kernel, f"kernel{i}"))
        tensors.append(numpy_helper.from_array(bias, f"bias{i}"))
        nodes.append(helper.make_node("Gemm", [f"x{i}", f"kernel{i}", f"bias{i}"], [f"z{i}"]))
        kind = "Softmax" if i == last else "Relu"
        nodes.append(helper.make_node(kind, [f"z{i}"], [f"x{i + 1}"]))
    source = helper.make_tensor_value_info("x0", TensorProto.FLOAT, [None, widths[0]])
    target = helper.make_tensor_value_info(f"x{last + 1}", TensorProto.FLOAT, [None, widths[-1]])
    graph = helper.make_graph(nodes, "mlp", [source], [target], tensors)
    opset = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=_IR)


class OnnxPeer(base.Peer):
    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            _model(job.widths).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def predict(self, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._session.run(None, {"x0": x})[0]
        return found

    @classmethod
    def version(cls) -> str:
        return f"onnxruntime {onnxruntime.__version__}"
