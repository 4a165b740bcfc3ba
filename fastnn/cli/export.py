"""Write a saved model as a file of ONNX, which onnxruntime and others run.

It takes what the model takes, channels last, and any number of rows: strings and int64 where a
layer reads texts and integers. What a table's cells become is not in it: a row comes as numbers,
whose names are printed and in the file's metadata, as are the names of classes. Needs the package
onnx: pip install 'fastnn[onnx]'.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.cli import model_file, output
from fastnn.tables.form import Form

if TYPE_CHECKING:
    from fastnn.graph import SymbolicTensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn export``."""
    parser.add_argument("model", metavar="MODEL", help="a file that fastnn train --save wrote")
    parser.add_argument("output", type=Path, metavar="FILE.onnx", help="what to write")
    parser.add_argument(
        "--input-dtype",
        default="float32",
        metavar="DTYPE",
        help="of inputs that are real numbers: uint8 for pictures as they are (default: float32)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write the file, print what goes in and comes out; the exit status."""
    from fastnn.export import input_types, write_onnx

    output.check_writable(arguments.output, arguments.json)
    model, class_names, form = model_file.load(arguments.model)
    notes: dict[str, list[str]] = {}
    if class_names is not None:
        notes["class_names"] = class_names
    if form is not None:
        notes["features"] = form.features
    dtype = arguments.input_dtype
    texts = {key: json.dumps(value) for key, value in notes.items()}
    write_onnx(model, arguments.output, input_dtype=dtype, notes=texts)
    inputs = _described(model.input_names, model.inputs, input_types(model, dtype))
    outputs = _described(model.output_names, model.outputs, ["float32"] * len(model.outputs))
    if arguments.json:
        result = {"model": arguments.model, "inputs": inputs, "outputs": outputs, **notes}
        output.write_json(arguments.json, result)
    print(f"{arguments.output}: for onnxruntime and others")
    for what, each in (("input", inputs), ("output", outputs)):
        for name, kind, shape in each:
            print(f"{what} {name}: {kind} ({', '.join(map(str, shape))})")
    if class_names is not None:
        print(f"classes: {', '.join(class_names)}")
    if form is not None:
        _explain(form)
    return 0


def _described(
    names: list[str], tensors: list[SymbolicTensor], types: list[str]
) -> list[list[Any]]:
    described = zip(names, types, tensors, strict=True)
    return [[name, dtype, ["batch", *tensor.shape[1:]]] for name, dtype, tensor in described]


def _explain(form: Form) -> None:
    print("a row of the table comes as these numbers, in the table's units:")
    for name in form.features:
        print(f"  {name}")
