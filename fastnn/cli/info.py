"""Show version, CPU level and threads; or the layers of a saved model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fastnn.cli import model_file, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn info``."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a file that fastnn train --save wrote"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print it; the exit status."""
    import fastnn

    output.check_writable(arguments.json)
    result: dict[str, Any] = {"fastnn": fastnn.__version__, "threads": fastnn.get_num_threads()}
    if arguments.model is None:
        fastnn.show_config()
    else:
        model, names, form = model_file.load(arguments.model)
        model.summary()
        if names is not None:
            print(f"classes: {', '.join(names)}")
            result["class_names"] = names
        if form is not None:
            print(f"label: {form.label.name}")
            for column in form.columns:
                print(f"column {column.name}: {column.describe()}")
            result["table"] = form.get_config()
        result["model"] = model.get_config()
        result["parameters"] = model.count_params()
    if arguments.json:
        output.write_json(arguments.json, result)
    return 0
