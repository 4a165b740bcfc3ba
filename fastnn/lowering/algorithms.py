"""By which algorithms nodes are computed, where there are several and the user may choose."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.layers.base import CHANGES

_CONVOLUTION = ("auto", "direct")


@dataclass
class Algorithms:
    """What was chosen."""

    convolution: str = "auto"


ALGORITHMS = Algorithms()


def set_convolution_algorithm(algorithm: str) -> None:
    """Compute convolutions by this algorithm from now on, in all models.

    Args:
        algorithm: "auto": Winograd's F(2x2, 3x3) (Lavin & Gray 2016, arXiv:1509.09308) for windows
            of 3 x 3 with stride and dilation 1, forward and for both gradients, where it
            is faster; where that is depends on the net, not on the batch (pictures of few channels
            that are read as the data set has them go directly). "direct": sums of products for all.
            Their results differ by rounding. For numbers of one magnitude Winograd's outputs are
            the more exact, its gradients of weights off by 1.4 times as much; but an output's
            error is that of the largest number among 4 x 4 positions, and an infinity spoils all
            outputs that read one of these.

    Raises:
        ValueError: There is no such algorithm.
    """
    if algorithm not in _CONVOLUTION:
        raise ValueError(f'algorithm must be "auto" or "direct", got {algorithm!r}')
    ALGORITHMS.convolution = algorithm
    CHANGES[0] += 1


def get_convolution_algorithm() -> str:
    """What ``set_convolution_algorithm`` said; "auto" before."""
    return ALGORITHMS.convolution
