"""What the files of models are called: the one rule for suffixes.

What fastnn writes a model to ends in ``.safetensors``, for that is the format. Of a file to read
the content decides, whatever it is called.
"""

from __future__ import annotations

import os

SUFFIX = ".safetensors"

_KERAS = "fastnn.import_weights takes over the weights of Keras's files"
_TORCH = "fastnn.import_weights takes over the weights of a PyTorch state_dict"
_ADVICE = {
    ".onnx": "for ONNX call Model.export",
    ".keras": _KERAS,
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".pt": _TORCH,
    ".pth": _TORCH,
}


def check_suffix(argument: str, filepath: str | os.PathLike[str]) -> str:
    """``filepath`` as text, if a model may be written there.

    Args:
        argument: What names the file, for the message: "save: filepath".

    Raises:
        ValueError: It doesn't end in ``.safetensors``.
    """
    path = os.fsdecode(filepath)
    if not path.endswith(SUFFIX):
        raise ValueError(
            f"{argument} must end in {SUFFIX!r}, the format that fastnn writes, got {path!r}"
            f"{advice(path)}"
        )
    return path


def advice(filepath: str) -> str:
    """What to do with a file of another format, to be added to a message; "" where nothing is known
    of it."""
    text = _ADVICE.get(os.path.splitext(filepath)[1].lower())
    return "" if text is None else f"; {text}"
