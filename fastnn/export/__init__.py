"""Models in other programs' formats."""

from fastnn.export.network import NamedNetwork, graph_of, input_types
from fastnn.export.onnx_file import write_onnx

__all__ = ["NamedNetwork", "graph_of", "input_types", "write_onnx"]
