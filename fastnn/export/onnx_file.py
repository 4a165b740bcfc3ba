"""The file that a graph is written in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn._checks import check_choice
from fastnn._files import write_whole
from fastnn._version import __version__
from fastnn.export.graph import Graph
from fastnn.export.network import NamedNetwork, graph_of, input_types

OPSET = 17
"""The version of ONNX's operators; every onnxruntime from 1.13 on knows it."""
_OPSETS = {"": OPSET, "ai.onnx.ml": 3}
"""By domain. Others than ONNX's own are named only in a file that has operators of theirs."""
_IR = 8
_DTYPES = ("float32", "float64", "uint8", "int8", "int16", "int32", "int64")
_MOST_BYTES = 2**31 - 2**20
"""A protobuf holds 2 GiB; the rest is for what isn't a weight."""


def write_onnx(
    network: NamedNetwork,
    filepath: str | os.PathLike[str],
    format: str = "onnx",
    input_dtype: str = "float32",
    notes: Mapping[str, str] | None = None,
) -> None:
    """What ``Model.export`` does.

    Args:
        notes: What else the file's metadata says, by key.
    """
    check_choice("export", "format", format, ["onnx"])
    check_choice("export", "input_dtype", input_dtype, _DTYPES)
    path = os.fspath(filepath)
    if not path.endswith(".onnx"):
        raise ValueError(f"export writes a file whose name ends in '.onnx', got {path!r}")
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "a model is exported by the package onnx, which is not installed: "
            "pip install 'fastnn[onnx]'",
            name="onnx",
        ) from error
    graph = graph_of(network, casts=input_dtype != "float32")
    size = sum(tensor.nbytes for tensor in graph.tensors.values())
    if size > _MOST_BYTES:
        raise ValueError(
            f"model {network.name!r} has {size:,} bytes of weights, a file of ONNX holds 2 GiB"
        )
    made = _made(network, graph, input_types(network, input_dtype), notes or {})
    onnx.checker.check_model(made, full_check=True)
    write_whole(path, made.SerializeToString())


def _made(network: NamedNetwork, graph: Graph, types: list[str], notes: Mapping[str, str]) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    kinds = [
        TensorProto.STRING if each == "string" else helper.np_dtype_to_tensor_dtype(np.dtype(each))
        for each in types
    ]
    inputs = [
        helper.make_tensor_value_info(name, kind, ["batch", *tensor.extents])
        for tensor, name, kind in zip(network.inputs, network.input_names, kinds, strict=True)
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *tensor.extents])
        for tensor, name in zip(network.outputs, network.output_names, strict=True)
    ]
    nodes = [
        helper.make_node(
            each.kind, each.inputs, [each.output], name=each.output, domain=each.domain or None,
            **each.attributes,
        )
        for each in graph.operators
    ]  # fmt: skip
    domains = sorted({"", *(each.domain for each in graph.operators)})
    tensors = [numpy_helper.from_array(array, name) for name, array in graph.tensors.items()]
    made = helper.make_model(
        helper.make_graph(nodes, network.name, inputs, outputs, tensors),
        opset_imports=[helper.make_opsetid(each, _OPSETS[each]) for each in domains],
        ir_version=_IR,
        producer_name="fastnn",
        producer_version=__version__,
    )
    helper.set_model_props(made, dict(notes))
    return made
