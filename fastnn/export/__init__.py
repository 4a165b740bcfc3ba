"""Models in other programs' formats."""

from fastnn.export.network import Network, graph_of, input_types
from fastnn.export.onnx_file import write_onnx

__all__ = ["Network", "graph_of", "input_types", "write_onnx"]
