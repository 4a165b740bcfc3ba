"""PyTorch: eager loop, fused Adam, rows gathered with ``index_select``.

Its BatchNorm keeps the unbiased variance for inference, where Keras keeps the biased one.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fastnn.bench.peers import base


def _linear(kernel: np.ndarray, bias: np.ndarray) -> nn.Linear:
    linear = nn.Linear(*kernel.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(kernel.T.copy()))
        linear.bias.copy_(torch.from_numpy(bias))
    return linear


def _net(job: base.Job) -> nn.Sequential:
    weights = base.start_weights(job.widths)
    *hidden, head = map(_linear, weights[::2], weights[1::2])
    modules: list[nn.Module] = []
    for linear in hidden:
        modules.append(linear)
        if job.batch_norm:
            modules.append(
                nn.BatchNorm1d(linear.out_features, base.NORM_EPSILON, 1 - base.NORM_MOMENTUM)
            )
        modules.append(nn.ReLU())
        if job.dropout:
            modules.append(nn.Dropout(job.dropout))
    return nn.Sequential(*modules, head)


class TorchPeer(base.Trainer):
    remedies = base.REMEDIES

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        torch.set_num_threads(threads)
        self._x = torch.from_numpy(x)
        self._y = torch.from_numpy(y.astype(np.int64))
        self._net = _net(job)
        self._adam = torch.optim.Adam(
            self._net.parameters(),
            lr=base.LEARNING_RATE,
            betas=(base.BETA_1, base.BETA_2),
            eps=base.EPSILON,
            fused=True,
        )
        self._steps = 0

    def _train(self, order: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses = []
        batches = order.split(self.job.batch)
        group = self._adam.param_groups[0]
        for rows in batches:
            # PyTorch adds epsilon after the correction of the second moment, Keras before it.
            self._steps += 1
            group["eps"] = base.EPSILON / math.sqrt(1 - base.BETA_2**self._steps)
            x, y = self._x.index_select(0, rows), self._y.index_select(0, rows)
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
            found: np.ndarray = self._net(torch.from_numpy(x)).softmax(1).numpy()
        self._net.train()
        return found

    @classmethod
    def version(cls) -> str:
        return f"PyTorch {torch.__version__}"
