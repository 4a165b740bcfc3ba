"""Graphs: order of nodes and layers, functional models, Sequential, sharing, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn as fnn
from fastnn import layers, utils
from fastnn.graph import SymbolicTensor, topological_order


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    utils.clear_session()
    yield


def names(items: list) -> list[str]:
    return [item.name for item in items]


# --- order --------------------------------------------------------------------------------------


def random_graph(choices: list[int], n_inputs: int) -> tuple[list, list]:
    """Inputs and outputs of a graph in which ``choices`` say what each layer reads."""
    inputs = [layers.Input((3,)) for _ in range(n_inputs)]
    tensors: list[SymbolicTensor] = list(inputs)
    read: set[SymbolicTensor] = set()
    for choice in choices:
        first, second = tensors[choice % len(tensors)], tensors[choice // 7 % len(tensors)]
        if choice % 3:
            tensors.append(layers.Dense(3)(first))
            read.add(first)
        else:
            tensors.append(layers.Add()([first, second]))
            read |= {first, second}
    outputs = [tensor for tensor in tensors[n_inputs:] if tensor not in read]
    return [tensor for tensor in inputs if tensor in read], outputs


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=25), st.integers(1, 3))
def test_a_node_follows_what_it_reads(choices: list[int], n_inputs: int) -> None:
    inputs, outputs = random_graph(choices, n_inputs)
    nodes = topological_order(inputs, outputs)
    known = set(inputs)
    for node in nodes:
        assert known.issuperset(node.inputs)
        assert node.output not in known
        known.add(node.output)
    assert known.issuperset(outputs)
    assert len(nodes) == len(choices)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=25), st.integers(1, 3))
def test_a_configuration_makes_the_same_graph(choices: list[int], n_inputs: int) -> None:
    model = fnn.Model(*random_graph(choices, n_inputs))
    again = fnn.Model.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert names(again.layers) == names(model.layers)
    assert [v.path for v in again.weights] == [v.path for v in model.weights]
    assert again.input_shape == model.input_shape
    assert again.output_shape == model.output_shape


def test_layers_are_in_keras_order() -> None:
    # keras 3.15.1 lists these layers in this order: by depth, then by the walk from the outputs.
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    left = layers.Dense(4, name="left")(a)
    right = layers.Dense(4, name="right")(layers.Dense(4, name="below")(b))
    both = layers.Add(name="both")([left, right])
    side = layers.Dense(2, name="side")(left)
    top = layers.Dense(2, name="top")(both)
    model = fnn.Model([a, b], [side, top])
    assert names(model.layers) == ["b", "a", "below", "left", "right", "both", "side", "top"]
    assert [v.path for v in model.weights][:2] == ["below/kernel", "below/bias"]


def test_a_deep_graph() -> None:
    inputs = tensor = layers.Input((2,))
    for _ in range(3000):
        tensor = layers.ReLU()(tensor)
    assert len(fnn.Model(inputs, tensor).nodes) == 3000


# --- functional models --------------------------------------------------------------------------


def test_several_inputs_and_outputs() -> None:
    a, b = layers.Input((4,), name="a"), layers.Input((6,), name="b")
    both = layers.Concatenate()([a, layers.Dense(3)(b)])
    model = fnn.Model([a, b], [layers.Dense(2, name="x")(both), layers.Dense(5, name="y")(both)])
    assert model.inputs == [a, b]
    assert model.input_names == ["a", "b"]
    assert model.output_names == ["x", "y"]
    assert model.input_shape == [(None, 4), (None, 6)]
    assert model.output_shape == [(None, 2), (None, 5)]
    assert model.compute_output_shape([(None, 4), (32, 6)]) == [(None, 2), (None, 5)]
    assert model.count_params() == (6 * 3 + 3) + (7 * 2 + 2) + (7 * 5 + 5)
    assert model.get_layer("x").count_params() == 16
    assert model.get_layer(index=0) is model.layers[0]


def test_a_layer_used_twice_has_its_weights_once() -> None:
    a, b = layers.Input((4,)), layers.Input((4,))
    shared = layers.Dense(4)
    model = fnn.Model([a, b], layers.Add()([shared(a), shared(b)]))
    assert len(model.nodes) == 3
    assert len(model.weights) == 2
    assert model.layers.count(shared) == 1
    again = fnn.Model.from_config(model.get_config())
    assert len(again.nodes) == 3
    assert len(again.weights) == 2


def test_a_shared_layer_with_two_outputs_has_two_names() -> None:
    a, b = layers.Input((4,)), layers.Input((4,))
    shared = layers.Dense(4, name="shared")
    assert fnn.Model([a, b], [shared(a), shared(b)]).output_names == ["shared", "shared_1"]


def test_calling_a_model_puts_its_layers_into_the_graph() -> None:
    a = layers.Input((4,))
    body = fnn.Model(a, layers.Add()([a, layers.Dense(4, name="inner")(a)]))
    x = layers.Input((4,))
    model = fnn.Model(x, layers.Dense(2)(body(body(x))))
    assert model.get_layer("inner") is body.get_layer("inner")
    assert len(model.weights) == 4
    assert sum(node.layer.name == "inner" for node in model.nodes) == 2
    model.get_layer("inner").kernel.assign(np.ones((4, 4)))  # type: ignore[attr-defined]
    assert body.get_weights()[0].all()


def test_a_model_may_begin_in_the_middle() -> None:
    a = layers.Input((4,))
    middle = layers.Dense(3, name="encoder")(a)
    top = layers.Dense(4, name="decoder")(middle)
    whole, decoder = fnn.Model(a, top), fnn.Model(middle, top)
    assert names(decoder.layers)[1:] == ["decoder"]
    assert decoder.input_shape == (None, 3)
    assert decoder.weights == whole.weights[2:]


def test_layer_input_and_output_are_those_of_the_first_call() -> None:
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3), layers.Dense(2)])
    features = fnn.Model(model.input, model.layers[0].output)
    assert features.output_shape == (None, 3)
    assert features.weights == model.weights[:2]
    with pytest.raises(ValueError, match="has not been called"):
        _ = layers.Dense(3).output


def two_inputs() -> tuple[SymbolicTensor, SymbolicTensor]:
    return layers.Input((3,), name="a"), layers.Input((3,), name="b")


def test_graphs_that_are_refused() -> None:
    a, b = two_inputs()
    both = layers.Add()([layers.Dense(3)(a), b])
    with pytest.raises(ValueError, match=r"disconnected.*need 'b'.*\['a'\]"):
        fnn.Model(a, both)
    with pytest.raises(ValueError, match=r"disconnected.*needs the input 'b'"):
        fnn.Model([a, b], layers.Dense(3)(a))
    with pytest.raises(ValueError, match="twice"):
        fnn.Model([a, a], layers.Dense(3)(a))
    with pytest.raises(ValueError, match="output 'a' is an input"):
        fnn.Model(a, a)
    with pytest.raises(ValueError, match="two layers of the name 'x'"):
        fnn.Model(a, layers.Dense(3, name="x")(layers.Dense(3, name="x")(a)))
    with pytest.raises(TypeError, match=r"outputs of model.*ndarray"):
        fnn.Model(a, np.zeros((2, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        fnn.Model([], both)


def test_calls_that_are_refused() -> None:
    a, b = two_inputs()
    model = fnn.Model([a, b], layers.Add()([a, b]))
    with pytest.raises(ValueError, match=r"\(None, 3\), \(None, 3\).*got \[\(None, 3\)\]"):
        model(a)
    with pytest.raises(ValueError, match=r"got .*\(None, 5\)"):
        model([a, layers.Input((5,))])
    with pytest.raises(TypeError, match="predict"):
        model(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no layer 'c'"):
        model.get_layer("c")
    with pytest.raises(ValueError, match="got index 7"):
        model.get_layer(index=7)
    with pytest.raises(ValueError, match="a name or an index"):
        model.get_layer()


# --- Sequential ---------------------------------------------------------------------------------


def test_sequential_with_input() -> None:
    model = fnn.Sequential([layers.Input((4, 2)), layers.Flatten()])
    model.add(layers.Dense(3))
    assert model.built
    assert names(model.layers) == ["flatten", "dense"]
    assert model.input_shape == (None, 4, 2)
    assert model.output_shape == (None, 3)
    assert [w.shape for w in model.get_weights()] == [(8, 3), (3,)]
    assert model.name == "sequential"


def test_sequential_takes_the_input_layer_itself() -> None:
    model = fnn.Sequential([layers.InputLayer((4,)), layers.Dense(3)])
    assert model.input_shape == (None, 4)


def test_sequential_without_input_is_built_later() -> None:
    model = fnn.Sequential([layers.Dense(3), layers.Dense(2)])
    assert not model.built
    assert model.get_weights() == []
    with pytest.raises(ValueError, match="not built"):
        model.count_params()
    with pytest.raises(ValueError, match="not built"):
        _ = model.inputs
    model.build((None, 4))
    assert [w.shape for w in model.get_weights()] == [(4, 3), (3,), (3, 2), (2,)]
    model.build((32, 4))
    with pytest.raises(ValueError, match=r"\(None, 4\).*\(None, 5\)"):
        model.build((None, 5))
    model.add(layers.Dense(7))
    assert model.output_shape == (None, 7)


def test_a_sequential_that_cannot_be_built_stays_unbuilt() -> None:
    model = fnn.Sequential([layers.Dense(6), layers.Reshape((4,))])
    with pytest.raises(ValueError, match="reshape"):
        model.build((None, 5))
    assert not model.built
    assert not model.layers[0].built
    model.pop()
    model.build((None, 9))
    assert model.get_weights()[0].shape == (9, 6)


def test_pop() -> None:
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3), layers.Dense(2)])
    nodes = model.nodes
    assert model.pop().name == "dense_1"
    assert model.output_shape == (None, 3)
    assert model.nodes is not nodes
    assert len(model.nodes) == 1
    model.add(layers.Dense(5))
    assert model.output_shape == (None, 5)
    model.pop()
    model.pop()
    assert not model.built
    with pytest.raises(ValueError, match="has no layers"):
        model.pop()


def test_nodes_are_another_list_when_the_graph_changes() -> None:
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3)])
    nodes = model.nodes
    assert model.nodes is nodes
    model.add(layers.ReLU())
    assert model.nodes is not nodes
    assert names([node.layer for node in model.nodes]) == ["dense", "re_lu"]


def test_sequential_of_models() -> None:
    a = layers.Input((4,))
    residual = fnn.Model(a, layers.Add()([a, layers.Dense(4)(a)]))
    late = fnn.Sequential([layers.Dense(3)])
    model = fnn.Sequential([layers.Input((4,)), residual, late])
    assert late.built
    assert model.layers == [residual, late]
    assert len(model.nodes) == 3
    assert len(model.weights) == 4
    again = fnn.Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [v.path for v in again.weights] == [v.path for v in model.weights]


def test_sequential_may_use_a_layer_twice() -> None:
    shared = layers.Dense(4)
    model = fnn.Sequential([layers.Input((4,)), shared, shared])
    assert len(model.nodes) == 2
    assert len(model.weights) == 2
    again = fnn.Sequential.from_config(model.get_config())
    assert again.layers[0] is again.layers[1]


def test_sequential_refuses() -> None:
    a, b = two_inputs()
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3, name="x")])
    merged = fnn.Model([a, b], layers.Add()([a, b]))
    refused: list[tuple[object, type[Exception], str]] = [
        ("dense", TypeError, "'dense'"),
        (layers.Dense, TypeError, "Dense"),
        (layers.Dense(3, name="x"), ValueError, "'x'"),
        (fnn.Sequential([layers.Dense(3, name="x")]), ValueError, "'x'"),
        (layers.Add(), ValueError, "add"),
        (merged, ValueError, "one input"),
        (layers.Input((3,), name="late"), ValueError, "late.*|first"),
        (layers.Dense(3)(a), TypeError, "output of layer"),
        (layers.Reshape((2,)), ValueError, r"\(2,\).*\(None, 3\)"),
    ]
    for item, error, message in refused:
        with pytest.raises(error, match=message):
            model.add(item)  # type: ignore[arg-type]
        assert names(model.layers) == ["x"]
        assert model.output_shape == (None, 3)
    with pytest.raises(ValueError, match="has no layers"):
        fnn.Sequential().build((None, 3))
    with pytest.raises(TypeError, match=r"\(None, 784\)"):
        fnn.Sequential([layers.Dense(3)]).build(784)


# --- configurations -----------------------------------------------------------------------------


def broken(**changes: object) -> dict:
    a = layers.Input((3,), name="a")
    config = fnn.Model(a, layers.Dense(2, name="d")(a), name="m").get_config()
    return {**config, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spare": 1}, "spare"),
        ({"layers": 3}, "'layers'.*list"),
        ({"layers": ["Dense"]}, "must be a dict.*Dense"),
        ({"layers": []}, "no input 'a'"),
        ({"inputs": ["d"]}, "no input 'd'"),
        ({"inputs": [[]]}, "no input"),
        ({"calls": [["e", [0]]]}, "'e', which is not a layer"),
        ({"calls": [["d", [1]]]}, "layer 'd' must be numbers of tensors below 1, got 1"),
        ({"calls": [["d", [-1]]]}, "got -1"),
        ({"calls": [["d", [0, 0]]]}, "takes one input"),
        ({"calls": [["d"]]}, "a layer's name and its inputs"),
        ({"outputs": [5]}, "below 2, got 5"),
        ({"outputs": [0]}, "is an input"),
        ({"name": 5}, "5"),
    ],
)
def test_malformed_configurations_are_refused(changes: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        fnn.Model.from_config(broken(**changes))
