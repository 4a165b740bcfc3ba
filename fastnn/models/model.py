"""Model: a graph of layers from inputs to outputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from fastnn import layers as _layers
from fastnn._naming import auto_name
from fastnn._registry import resolve, serialize
from fastnn.errors import NonFiniteGradientError
from fastnn.graph import (
    Node,
    Shape,
    SymbolicTensor,
    as_shape,
    ordered_layers,
    replay,
    topological_order,
)
from fastnn.layers.base import Layer
from fastnn.layers.input import Input, InputLayer
from fastnn.models import backups, recording, saving
from fastnn.models.container import Container
from fastnn.models.summary import summary_text
from fastnn.models.trainer import Trainer
from fastnn.variables import Variable


class Model(Trainer, Layer):
    """The layers between ``inputs`` and ``outputs``, trained together.

    ::

        inputs = fastnn.Input((784,))
        hidden = layers.Dense(512, activation="relu")(inputs)
        model = fastnn.Model(inputs, layers.Dense(10, activation="softmax")(hidden))

    A model may be called on symbolic tensors, as a layer: its layers are then part of the other
    graph, with the same weights. A layer may be in several models.

    Args:
        inputs: a symbolic tensor, or a list of them. One that isn't an ``Input`` cuts the graph:
            the layers before it are not part of the model.
        outputs: a symbolic tensor, or a list of them, made from ``inputs``.
        name: by default "functional", "functional_1", ...

    Raises:
        TypeError: something else than symbolic tensors came.
        ValueError: the graph is disconnected, two layers have one name, an input comes twice, or
            an output is an input.
    """

    def __init__(
        self,
        inputs: SymbolicTensor | Sequence[SymbolicTensor],
        outputs: SymbolicTensor | Sequence[SymbolicTensor],
        name: str | None = None,
    ) -> None:
        self._begin(name or auto_name("functional"))
        sources = _as_list(inputs, f"inputs of model {self.name!r}")
        results = _as_list(outputs, f"outputs of model {self.name!r}")
        if len(set(sources)) != len(sources):
            raise ValueError(f"model {self.name!r}: an input comes twice in {sources}")
        for tensor in results:
            if tensor in sources:
                raise ValueError(f"model {self.name!r}: output {tensor.name!r} is an input itself")
        self._inputs, self._outputs = _cut_off(sources, results)
        self._nodes = topological_order(self._inputs, self._outputs)
        self._layers = ordered_layers(self._inputs, self._outputs)
        check_unique_names(self.name, self._layers)
        self.built = True

    # Set by `_begin`, which a subclass with another constructor calls too.
    _inputs: list[SymbolicTensor]
    _outputs: list[SymbolicTensor]
    _nodes: list[Node] | None
    _layers: list[Layer]

    def _begin(self, name: str | None) -> None:
        Layer.__init__(self, name=name)
        Trainer.__init__(self)
        self._inputs = []
        self._outputs = []
        self._nodes = None
        self._layers = []

    # Graph

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that data is fed to."""
        self._check_has_graph()
        return self._inputs

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that ``predict`` returns."""
        self._check_has_graph()
        return self._outputs

    @property
    def nodes(self) -> list[Node]:
        """The calls of layers, each after those it depends on, without the inputs.

        When the graph changes, this becomes another list: a program made of the old one is stale.
        """
        self._check_has_graph()
        if self._nodes is None:
            self._nodes = topological_order(self._inputs, self._outputs)
        return self._nodes

    @property
    def layers(self) -> list[Layer]:
        """Every layer once, inputs included, in Keras's order."""
        return list(self._layers)

    @property
    def input(self) -> SymbolicTensor | list[SymbolicTensor]:
        """The input, or the list of inputs if there are several."""
        return _one_or_all(self.inputs)

    @property
    def output(self) -> SymbolicTensor | list[SymbolicTensor]:
        """The output, or the list of outputs if there are several."""
        return _one_or_all(self.outputs)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs: keys of a dict of arrays."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The layers that make the outputs. The second output of one layer gets a "_1"."""
        if len(self.outputs) == 1:
            return [self.outputs[0].name]
        names: list[str] = []
        for tensor in self.outputs:
            name, count = tensor.name, 0
            while name in names:
                count += 1
                name = f"{tensor.name}_{count}"
            names.append(name)
        return names

    @property
    def input_shape(self) -> Shape | list[Shape]:
        """The shape of the input, or a list of shapes if there are several."""
        return _one_or_all([tensor.shape for tensor in self.inputs])

    @property
    def output_shape(self) -> Shape | list[Shape]:
        """The shape of the output, or a list of shapes if there are several."""
        return _one_or_all([tensor.shape for tensor in self.outputs])

    def _check_has_graph(self) -> None:
        """For a subclass whose graph may come later."""

    def _is_chainable(self) -> bool:
        """Whether the model can be a layer of a Sequential."""
        return len(self._inputs) == 1 and len(self._outputs) == 1

    def __call__(self, inputs: SymbolicTensor | Sequence[SymbolicTensor]) -> Any:
        """Put the model's layers into another graph, after ``inputs``.

        Returns:
            A symbolic tensor, or a list of them if the model has several outputs.

        Raises:
            TypeError, ValueError: other inputs than the model's own, in kind, number or shape.
        """
        tensors = _as_list(inputs, f"inputs of model {self.name!r}")
        self._check_input_shapes([tensor.shape for tensor in tensors])
        replaced = replay(self.nodes, dict(zip(self.inputs, tensors, strict=True)))
        return _one_or_all([replaced[tensor] for tensor in self.outputs])

    def build(self, input_shape: Any) -> None:
        """A model is built by its layers; this checks the shape (or a list of shapes)."""
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape, or a list of shapes; ValueError for another input shape."""
        several = bool(input_shape) and isinstance(input_shape[0], (list, tuple))
        owner = f"model {self.name!r}"
        shapes = input_shape if several else [input_shape]
        self._check_input_shapes([as_shape(shape, owner) for shape in shapes])
        return self.output_shape

    def _check_input_shapes(self, shapes: list[Shape]) -> None:
        wanted = [tensor.shape for tensor in self.inputs]
        if shapes != wanted:
            raise ValueError(f"model {self.name!r} takes inputs of shapes {wanted}, got {shapes}")

    # Layers and weights

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place in ``layers``; ValueError if there is none."""
        if (name is None) == (index is None):
            raise ValueError(f"get_layer takes a name or an index, got {name!r} and {index!r}")
        if index is not None:
            if not 0 <= index < len(self.layers):
                raise ValueError(
                    f"model {self.name!r} has {len(self.layers)} layers, got index {index}"
                )
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"model {self.name!r} has no layer {name!r}; it has "
            f"{', '.join(layer.name for layer in self.layers)}"
        )

    @property
    def weights(self) -> list[Variable]:
        """The weights of all layers in the order of ``layers``, each once."""
        return list(dict.fromkeys(v for layer in self.layers for v in layer.weights))

    def _set_trainable(self, value: bool) -> None:
        super()._set_trainable(value)
        for layer in self.layers:
            layer.trainable = value

    def summary(
        self, line_length: int | None = None, print_fn: Callable[[str], object] | None = None
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of parameters.

        Args:
            line_length: width of the table in characters, at least 40; by default what the texts
                need.
            print_fn: called once, with the whole text; by default it is printed.
        """
        (print_fn or print)(summary_text(self, line_length))

    # Configuration and files

    def get_config(self) -> dict[str, Any]:
        """Layers and how they are connected, as JSON values.

        Tensors have numbers: first the inputs, then the outputs of ``calls``.
        """
        numbers = {tensor: number for number, tensor in enumerate(self.inputs)}
        calls = []
        for node in self.nodes:
            calls.append([node.layer.name, [numbers[tensor] for tensor in node.inputs]])
            numbers[node.output] = len(numbers)
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in self.layers],
            "inputs": self.input_names,
            "calls": calls,
            "outputs": [numbers[tensor] for tensor in self.outputs],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Model:
        """A model with fresh weights, as ``get_config`` described it.

        Raises:
            ValueError: the configuration is malformed; the message names the fault.
        """
        _check_keys(config, ("name", "layers", "inputs", "calls", "outputs"), "a Model")
        name = config["name"]
        found: dict[Any, Layer] = {}
        for layer_config in _listed(config["layers"], f"'layers' of model {name!r}"):
            if not isinstance(layer_config, dict):
                raise ValueError(f"a layer of model {name!r} must be a dict, got {layer_config!r}")
            layer = resolve("layer", Layer, _layers.CLASSES, layer_config)
            if layer.name in found:
                raise ValueError(f"model {name!r} has two layers of the name {layer.name!r}")
            found[layer.name] = layer
        inputs = []
        for layer_name in _listed(config["inputs"], f"'inputs' of model {name!r}"):
            source = found.get(layer_name) if isinstance(layer_name, str) else None
            if not isinstance(source, InputLayer):
                raise ValueError(f"model {name!r} has no input {layer_name!r:.80}")
            inputs.append(source.output)
        tensors = list(inputs)
        for call in _listed(config["calls"], f"'calls' of model {name!r}"):
            layer_name, numbers = _pair(call)
            if layer_name not in found:
                raise ValueError(f"model {name!r} calls {layer_name!r:.80}, which is not a layer")
            layer = found[layer_name]
            arguments = _numbered(tensors, numbers, f"the inputs of layer {layer_name!r}")
            if not layer.takes_list and len(arguments) != 1:
                raise ValueError(f"layer {layer_name!r} takes one input, got {numbers!r:.80}")
            tensors.append(layer(arguments if layer.takes_list else arguments[0]))
        outputs = _numbered(tensors, config["outputs"], f"'outputs' of model {name!r}")
        return cls(inputs, outputs, name=name)

    def save(self, filepath: str | os.PathLike[str]) -> None:
        """Save architecture, weights and, if compiled, optimizer, loss, metrics and their state.

        The file is in the safetensors format: float32 weights in Keras's order and shapes, the rest
        as JSON. A file of that name is replaced at once, or not at all. ``fastnn.load_model`` reads
        it.

        Args:
            filepath: ending in ``.safetensors``. (Keras's other formats aren't written; ONNX is
                ``export``'s.)

        Raises:
            ValueError: ``filepath`` has another suffix, the model isn't built, or a part of it
                can't be saved.
            OSError: the file can't be written.
        """
        saving.save_model(self, filepath)

    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Save the weights alone, in the format of ``save``. File and errors as ``save``'s."""
        saving.save_weights(self, filepath)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Set all weights from a file of ``save_weights`` or ``save``, in the order of ``weights``.

        Raises:
            OSError: there is no such file, or it can't be read.
            ValueError: the file is malformed, or its weights have other shapes. No weight is
                changed then.
        """
        saving.load_weights(self, filepath)

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "onnx",
        *,
        input_dtype: str = "float32",
    ) -> None:
        """Write what ``predict`` does as a file of ONNX, for onnxruntime and others to run.

        The file has the model's inputs and outputs by their names, of the same shapes, channels
        last, and any number of rows. Dropout and other noise are not in it. Needs the package
        onnx: ``pip install 'fastnn[onnx]'``. Of Keras's arguments, ``input_signature`` has no use
        here, for the shapes are known, and ``verbose`` isn't there.

        Args:
            filepath: Its name ends in ".onnx". A file of that name is replaced at once, or not at
                all.
            format: "onnx".
            input_dtype: Of the file's inputs that are real numbers: "float32"; or "uint8" for
                pictures as they are, or another type of NumPy's, which the file brings to float32
                first, as ``predict`` does. Inputs that StringLookup reads are strings; those that
                IntegerLookup, CategoryEncoding or Embedding read are int64.

        Raises:
            ImportError: onnx is not installed.
            ValueError: The model isn't built, or a layer has not been adapted; or it can't be said
                in ONNX, such as a ``NumPyLayer``: the message names it.
            OSError: The file can't be written.
        """
        from fastnn.export import write_onnx

        write_onnx(self, filepath, format, input_dtype)

    # For callbacks, which know nothing of files

    def _write_backup(self, filepath: str, content: Container, previous: str | None) -> None:
        backups.write(filepath, content, previous)

    def _read_backup(self, filepath: str) -> Container:
        return backups.read(filepath)

    def _save_replay(self, filepath: str, error: NonFiniteGradientError) -> None:
        recording.save_replay(filepath, self, error)


T = TypeVar("T")


def check_unique_names(model: str, layers: Sequence[Layer]) -> None:
    """ValueError if two of a model's layers, those inside of others included, have one name."""
    owners: dict[str, Layer] = {}
    for layer in _with_inner(layers):
        if owners.setdefault(layer.name, layer) is not layer:
            raise ValueError(
                f"model {model!r} has two layers of the name {layer.name!r}: names must be unique"
            )


def _with_inner(layers: Sequence[Layer]) -> Iterator[Layer]:
    for layer in layers:
        yield layer
        yield from _with_inner(layer.inner_layers)


def _cut_off(
    inputs: list[SymbolicTensor], outputs: list[SymbolicTensor]
) -> tuple[list[SymbolicTensor], list[SymbolicTensor]]:
    """The same graph, with an Input in the place of an input that a layer makes."""
    if all(isinstance(tensor.node.layer, InputLayer) for tensor in inputs):
        return inputs, outputs
    nodes = topological_order(inputs, outputs)
    fresh = {
        tensor: tensor if isinstance(tensor.node.layer, InputLayer) else Input(tensor.shape[1:])  # type: ignore[arg-type]
        for tensor in inputs
    }
    replaced = replay(nodes, fresh)
    return list(fresh.values()), [replaced[tensor] for tensor in outputs]


def _as_list(value: Any, what: str) -> list[SymbolicTensor]:
    tensors = list(value) if isinstance(value, (list, tuple)) else [value]
    for tensor in tensors:
        if not isinstance(tensor, SymbolicTensor):
            raise TypeError(
                f"{what} must be symbolic tensors, such as fastnn.Input((784,)), got "
                f"{type(tensor).__name__}; arrays go to predict"
            )
    if not tensors:
        raise ValueError(f"{what} must be at least one symbolic tensor, got none")
    return tensors


def _one_or_all(values: list[T]) -> T | list[T]:
    return values[0] if len(values) == 1 else values


def _check_keys(config: dict[str, Any], keys: Sequence[str], what: str) -> None:
    if config.keys() != set(keys):
        raise ValueError(
            f"the config of {what} must have {', '.join(keys)}, got {', '.join(config)}"
        )


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list, got {value!r:.80}")
    return value


def _pair(call: Any) -> tuple[str, Any]:
    if not isinstance(call, list) or len(call) != 2 or not isinstance(call[0], str):
        raise ValueError(f"a call must be a layer's name and its inputs, got {call!r:.80}")
    return call[0], call[1]


def _numbered(tensors: list[SymbolicTensor], numbers: Any, what: str) -> list[SymbolicTensor]:
    for number in _listed(numbers, what):
        if not isinstance(number, int) or not 0 <= number < len(tensors):
            raise ValueError(
                f"{what} must be numbers of tensors below {len(tensors)}, got {number!r:.80}"
            )
    return [tensors[number] for number in numbers]
