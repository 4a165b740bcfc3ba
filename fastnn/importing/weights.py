"""The weights of another framework's net, for a model of the same layers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastnn._checks import check_flag
from fastnn.importing import hdf5, keras, safetensors_file, torch
from fastnn.importing.lines import Lines
from fastnn.importing.matching import assigned, check_epsilon, faults, match, match_some
from fastnn.importing.source import Source
from fastnn.importing.target import keras_targets
from fastnn.importing.torch_layouts import torch_targets
from fastnn.models import Model

_OF_KERAS = (".h5", ".keras")
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


def import_weights(
    model: Model,
    source: Any,
    *,
    strict: bool = True,
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Give ``model`` the weights that a net of the same layers has in Keras or PyTorch.

    Layers are matched by name, if all find theirs by it (the last parts of a path are enough);
    else by their order, or in a file without an order by their shapes, if these leave no choice.
    PyTorch's weights are brought into fastnn's layout: (out, in) to (in, out), filters to
    channels last, and what reads a flattened picture to the order of channels last. Whatever has
    the shape (height, width, channels) here is taken for a picture, which PyTorch has as (channels,
    height, width). Settings are yours to make alike: ``epsilon`` of the normalizations is 1e-5 in
    PyTorch and 1e-3 here, and is compared where the source says it.

    Args:
        model: Built. Its optimizer's state stays as it is.
        source: A model of Keras (3 or 2), or of fastnn; an ``nn.Module`` of PyTorch, its
            ``state_dict()``, or a dict of arrays with such names; or a file: ``.weights.h5``
            or ``.keras`` of Keras 3 (needs h5py, ``pip install 'fastnn[keras]'``), or
            ``.safetensors`` with fastnn's, Keras's or PyTorch's names. Files that are pickled, such
            as ``.pt``, are refused.
        strict: Whether every weight must be in the source and everything in the source must be
            used. If False, layers are matched by name alone, and what finds nothing stays as it is.
        names: ``{"name of a layer": "its name in the source"}``, where names are not alike and
            order and shapes don't tell. A SeparableConv has the names "NAME.depthwise" and
            "NAME.pointwise" beside PyTorch.

    Returns:
        For each weight that was set, by its path, the name that it has in the source.

    Raises:
        ImportError: A file of Keras's, and h5py isn't installed.
        OSError: There is no such file, or it can't be read.
        TypeError: ``source`` is something else.
        ValueError: The model isn't built; something is missing, left over, ambiguous or of another
            shape: the message lists what fits and what doesn't; or the file is damaged. No weight
            has changed then.
    """
    if not isinstance(model, Model):
        raise TypeError(f"import_weights takes a model of fastnn, got {type(model).__name__}")
    check_flag("import_weights", "strict", strict)
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built, it has no weights yet: call build(input_shape), "
            "or begin it with an Input"
        )
    with _opened(source) as found:
        targets = (
            torch_targets(model.layers, Lines(model.nodes))
            if found.is_torch
            else keras_targets(model.layers)
        )
        pairs = (match if strict else match_some)(targets, found, names or {})
        wrong = [fault for pair in pairs for fault in faults(*pair)]
        if wrong:
            raise ValueError(f"the weights of {found.title} don't fit: {'; '.join(wrong)}")
        values, origins = {}, {}
        for target, module in pairs:
            check_epsilon(target, module)
            for part, tensor in assigned(target, module):
                if tensor is not None:
                    values[part.variable] = part.convert(tensor.values())
                    origins[part.variable.path] = tensor.name
    model.set_weights([values.get(each, each.numpy()) for each in model.weights])
    return origins


@contextmanager
def _opened(source: Any) -> Iterator[Source]:
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path.endswith(_OF_KERAS):
            with hdf5.opened(path) as found:
                yield found
        elif path.endswith(".safetensors"):
            with safetensors_file.opened(path) as found:
                yield found
        elif path.endswith(_PICKLES):
            raise ValueError(
                f"{path} is pickled by its name, and unpickling can run code from a file: load it "
                "with torch.load(path, weights_only=True) and pass the state_dict, or write it "
                "with safetensors.torch.save_file"
            )
        else:
            raise ValueError(
                f"import_weights reads files that end in .safetensors, {', '.join(_OF_KERAS)}, got "
                f"{path!r}"
            )
    elif isinstance(source, Mapping):
        yield torch.from_state_dict(source)
    elif hasattr(source, "get_weights") and hasattr(source, "weights"):
        yield keras.from_model(source)
    elif callable(getattr(source, "state_dict", None)):
        yield torch.from_module(source)
    else:
        raise TypeError(
            "import_weights takes a model of Keras, a module or state_dict of PyTorch, or the path "
            f"of a file, got {type(source).__name__}"
        )
