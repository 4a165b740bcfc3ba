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
from fastnn.lowering.nodes.depthwise import DepthwiseNode, RepeatNode
from fastnn.lowering.nodes.elementwise import (
    ActivationNode,
    AffineNode,
    SoftmaxNode,
    StandardizeNode,
)
from fastnn.lowering.nodes.embedding import EmbeddingNode
from fastnn.lowering.nodes.inputs import InputNode
from fastnn.lowering.nodes.merging import (
    ConcatenateNode,
    ExtremumNode,
    MultiplyNode,
    SumNode,
)
from fastnn.lowering.nodes.noise import (
    DropChannelsNode,
    DropConnectNode,
    DropoutNode,
    ExpectationNode,
    GaussianNoiseNode,
    NoiseNode,
)
from fastnn.lowering.nodes.normalization import (
    BatchNormalizationNode,
    GroupNormalizationNode,
    LayerNormalizationNode,
)
from fastnn.lowering.nodes.pooling import MaxPoolingNode, WindowSumNode
from fastnn.lowering.nodes.python import NumPyNode
from fastnn.lowering.nodes.regrouping import ArrangingNode, PermuteNode, RegroupNode

__all__ = [
    "ActivatedNode",
    "ActivationNode",
    "AffineNode",
    "ArrangingNode",
    "BatchNormalizationNode",
    "ConcatenateNode",
    "ConvolutionNode",
    "CropNode",
    "DenseNode",
    "DepthwiseNode",
    "DropChannelsNode",
    "DropConnectNode",
    "DropoutNode",
    "EmbeddingNode",
    "ExpectationNode",
    "ExtremumNode",
    "FlipNode",
    "GaussianNoiseNode",
    "GroupNormalizationNode",
    "InputNode",
    "LayerNormalizationNode",
    "MaxPoolingNode",
    "Move",
    "MultiplyNode",
    "NoiseNode",
    "NumPyNode",
    "PermuteNode",
    "PictureNode",
    "RegroupNode",
    "RepeatNode",
    "SoftmaxNode",
    "StandardizeNode",
    "SumNode",
    "TintNode",
    "WarpNode",
    "WindowSumNode",
]
