"""PyTorch: eager loop, fused Adam, rows gathered with ``index_select``.

Its BatchNorm keeps the unbiased variance for inference, where Keras keeps the biased one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fastnn.bench import nets
from fastnn.bench.peers import base


class _ChannelsLast(nn.Module):  # type: ignore[misc]
    """Flatten in the order of height, width, channels: no copy, if they lie in that order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class _Residual(nn.Module):  # type: ignore[misc]
    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu_(self.body(x) + self.shortcut(x))


def _net(
    layers: Sequence[nets.Layer], weights: Iterator[np.ndarray], channels_last: bool
) -> nn.Sequential:
    modules: list[nn.Module] = []
    for i, layer in enumerate(layers):
        if isinstance(layer, nets.Dense):
            kernel = next(weights)
            if i and isinstance(flat := layers[i - 1], nets.Flatten) and not channels_last:
                kernel = kernel.reshape(*flat.shape, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            modules.append(nn.Linear(layer.inputs, layer.units))
            _set(modules[-1], kernel.T, next(weights))
        elif isinstance(layer, nets.Conv):
            modules += _conv(layer, weights)
        elif isinstance(layer, nets.Norm):
            momentum = 1 - base.NORM_MOMENTUM
            kind = nn.BatchNorm2d if isinstance(layers[i - 1], nets.Conv) else nn.BatchNorm1d
            modules.append(kind(layer.channels, base.NORM_EPSILON, momentum))
        elif isinstance(layer, nets.Residual):
            body, shortcut = (
                _net(part, weights, channels_last) for part in (layer.body, layer.shortcut)
            )
            modules.append(_Residual(body, shortcut))
        elif isinstance(layer, nets.Flatten):
            modules.append(_ChannelsLast() if channels_last else nn.Flatten())
        elif isinstance(layer, nets.GlobalAverage):
            modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        elif isinstance(layer, nets.Dropout):
            modules.append(nn.Dropout(layer.rate))
        else:
            modules.append(nn.MaxPool2d(2))
        if isinstance(layer, nets.Weighted | nets.Norm) and layer.relu:
            modules.append(nn.ReLU(inplace=True))
    return nn.Sequential(*modules)


def _conv(layer: nets.Conv, weights: Iterator[np.ndarray]) -> list[nn.Module]:
    (above, below), (left, right) = layer.padding
    even = above == below and left == right
    conv = nn.Conv2d(
        layer.channels, layer.filters, layer.size, layer.stride,
        padding=(above, left) if even else 0, bias=layer.bias,
    )  # fmt: skip
    _set(conv, next(weights).transpose(3, 2, 0, 1), next(weights) if layer.bias else None)
    return [conv] if even else [nn.ZeroPad2d((left, right, above, below)), conv]


def _set(module: nn.Linear | nn.Conv2d, kernel: np.ndarray, bias: np.ndarray | None) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(kernel.copy()))
        if bias is not None:
            module.bias.copy_(torch.from_numpy(bias))


class TorchPeer(base.Trainer):
    """Pictures lie as channels, height, width."""

    remedies = base.REMEDIES
    convolves = True
    channels_last = False

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        torch.set_num_threads(threads)
        self._x = torch.from_numpy(self.arranged(x))
        self._y = torch.from_numpy(y.astype(np.int64))
        self._net = _net(job.layers, iter(base.start_weights(job.layers)), self.channels_last)
        if self.channels_last:
            self._net.to(memory_format=torch.channels_last)
        self._adam = torch.optim.Adam(
            self._net.parameters(),
            lr=base.LEARNING_RATE,
            betas=(base.BETA_1, base.BETA_2),
            eps=base.EPSILON,
            fused=True,
        )
        self._steps = 0

    def arranged(self, x: np.ndarray) -> np.ndarray:
        if self.job.pictures and not self.channels_last:
            return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        return x

    def _inputs(self, x: torch.Tensor) -> torch.Tensor:
        """What the net takes, which has its channels second, wherever they lie."""
        return x.permute(0, 3, 1, 2) if self.job.pictures and self.channels_last else x

    def _train(self, order: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses = []
        batches = order.split(self.job.batch)
        group = self._adam.param_groups[0]
        for rows in batches:
            # PyTorch adds epsilon after the correction of the second moment, Keras before it.
            self._steps += 1
            group["eps"] = base.EPSILON / math.sqrt(1 - base.BETA_2**self._steps)
            x, y = self._inputs(self._x.index_select(0, rows)), self._y.index_select(0, rows)
            loss = functional.cross_entropy(self._net(x), y)
            self._adam.zero_grad(set_to_none=True)
            loss.backward()
            if self.job.global_clipnorm is not None:
                nn.utils.clip_grad_norm_(
                    self._net.parameters(), self.job.global_clipnorm, foreach=True
                )
            self._adam.step()
            losses.append(loss.detach())
        return torch.stack(losses), torch.tensor([len(rows) for rows in batches])

    def epoch(self) -> float:
        losses, sizes = self._train(torch.randperm(self.job.rows))
        return float((losses * sizes).sum() / self.job.rows)

    def losses(self, count: int) -> list[float]:
        found: list[float] = self._train(torch.arange(count * self.job.batch))[0].tolist()
        return found

    def predict(self, x: np.ndarray) -> np.ndarray:
        self._net.eval()
        with torch.inference_mode():
            found: np.ndarray = self._net(self._inputs(torch.from_numpy(x))).softmax(1).numpy()
        self._net.train()
        return found

    @classmethod
    def version(cls) -> str:
        return f"PyTorch {torch.__version__}"


class ChannelsLastTorchPeer(TorchPeer):
    """Pictures lie as height, width, channels. Without pictures it would be the other once more."""

    channels_last = True

    @classmethod
    def lacks(cls, job: base.Job) -> list[str]:
        return [*super().lacks(job), *([] if job.pictures else ["channels"])]
