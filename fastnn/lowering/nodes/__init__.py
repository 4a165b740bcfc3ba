"""The kinds of nodes, a file a family: each says which ops compute it and its gradient."""

from fastnn.lowering.nodes.activated import ActivatedNode
from fastnn.lowering.nodes.augmentation import (
    CropNode,
    FlipNode,
    Move,
    PictureNode,
    TintNode,
    WarpNode,
)
from fastnn.lowering.nodes.convolution import ConvolutionNode
from fastnn.lowering.nodes.dense import DenseNode
from fastnn.lowering.nodes.elementwise import ActivationNode, AffineNode, SoftmaxNode
from fastnn.lowering.nodes.inputs import InputNode
from fastnn.lowering.nodes.merging import AddNode, ConcatenateNode
from fastnn.lowering.nodes.noise import (
    DropConnectNode,
    DropoutNode,
    ExpectationNode,
    GaussianNoiseNode,
    NoiseNode,
)
from fastnn.lowering.nodes.normalization import BatchNormalizationNode, LayerNormalizationNode
from fastnn.lowering.nodes.pooling import MaxPoolingNode, WindowSumNode
from fastnn.lowering.nodes.python import NumPyNode
from fastnn.lowering.nodes.regrouping import RegroupNode

__all__ = [
    "ActivatedNode",
    "ActivationNode",
    "AddNode",
    "AffineNode",
    "BatchNormalizationNode",
    "ConcatenateNode",
    "ConvolutionNode",
    "CropNode",
    "DenseNode",
    "DropConnectNode",
    "DropoutNode",
    "ExpectationNode",
    "FlipNode",
    "GaussianNoiseNode",
    "InputNode",
    "LayerNormalizationNode",
    "MaxPoolingNode",
    "Move",
    "NoiseNode",
    "NumPyNode",
    "PictureNode",
    "RegroupNode",
    "SoftmaxNode",
    "TintNode",
    "WarpNode",
    "WindowSumNode",
]
