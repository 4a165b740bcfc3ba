"""The table of ops: one row for each kernel, with its operands in the order the kernel reads them.

A new op is a row here and a function of the same name in ``fastnn/kernels``.
"""

from __future__ import annotations

from dataclasses import dataclass

READ, WRITE, BOTH = "r", "w", "rw"


@dataclass(frozen=True)
class OpSpec:
    """Operands of an op.

    tensors: name -> what the op does with it. integers, numbers: names of the settings.
    by_rows: each row of the batch is one team member's, the same one's for all such ops; so they
    need not wait for each other where they meet in a tensor. "setting" where an op has it both
    ways.
    """

    tensors: dict[str, str]
    integers: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    by_rows: bool | str = True


_PARAMS = ("param_0", "param_1", "param_2")
_DENSE = ("inputs", "units", "kernel_block", "activation", "by_rows")
_UPDATED = {
    "kernel": BOTH, "kernel_slot_0": BOTH, "kernel_slot_1": BOTH, "kernel_slot_2": BOTH,
    "bias": BOTH, "bias_slot_0": BOTH, "bias_slot_1": BOTH, "bias_slot_2": BOTH,
}  # fmt: skip
_TARGET = {
    "y_pred": READ, "y_true": READ, "labels": READ, "weights": READ,
    "row_values": WRITE, "d_y_pred": WRITE, "probabilities": WRITE,
}  # fmt: skip
_NONZEROS = {"column_start": READ, "row": READ, "value": READ}

OPS: dict[str, OpSpec] = {
    # from the data set
    "gather": OpSpec({"y": WRITE}, ("features", "source"), ("scale", "offset")),
    "gather_values": OpSpec({"y": WRITE}, ("source",)),
    "sparse_columns": OpSpec(
        {"column_start": WRITE, "row": WRITE, "value": WRITE},
        ("columns", "source", "capacity"),
        by_rows=False,
    ),
    # forward
    "dense_forward": OpSpec(
        {"x": READ, "kernel": READ, "bias": READ, "y": WRITE, "z": WRITE},
        _DENSE, _PARAMS, by_rows="setting",
    ),
    "dense_forward_sparse": OpSpec(
        {"kernel": READ, "bias": READ, "y": WRITE, "z": WRITE},
        (*_DENSE, "source"), _PARAMS, by_rows="setting",
    ),
    "activation_forward": OpSpec({"z": READ, "y": WRITE}, ("features", "kind"), _PARAMS),
    "softmax_forward": OpSpec({"z": READ, "y": WRITE}, ("features",)),
    "affine": OpSpec({"x": READ, "y": BOTH}, ("features", "accumulate"), ("scale", "offset")),
    "copy_columns": OpSpec(
        {"x": READ, "y": BOTH}, ("count", "start", "to", "accumulate", "features_of_y")
    ),
    # objective
    "loss": OpSpec(
        _TARGET, ("features", "kind", "mean"), ("scale", "param_0", "param_1", "param_2", "param_3")
    ),
    "metric": OpSpec(_TARGET, ("features", "kind"), ("scale", "param_0")),
    "sum_rows": OpSpec({"values": READ}, ("sum", "times_rows"), by_rows=False),
    # backward
    "softmax_backward": OpSpec(
        {"y": READ, "dy": READ, "dz": BOTH}, ("features", "accumulate")
    ),
    "activation_backward": OpSpec(
        {"z": READ, "y": READ, "dy": READ, "dz": BOTH}, ("features", "kind", "accumulate"), _PARAMS
    ),
    "transpose": OpSpec({"x": READ, "y": WRITE}, ("features",)),
    "dense_backward_input": OpSpec(
        {"dz_t": READ, "kernel": READ, "dx": BOTH, "x_z": READ, "x": READ},
        (*_DENSE, "accumulate"), _PARAMS, by_rows="setting",
    ),
    # update
    "dense_backward_weights": OpSpec(
        {"x": READ, "dz": READ, **_UPDATED},
        ("inputs", "units", "kernel_block", "optimizer", "accumulate"), by_rows=False,
    ),
    "dense_backward_weights_sparse": OpSpec(
        {**_NONZEROS, "dz": READ, **_UPDATED},
        ("inputs", "units", "kernel_block", "optimizer", "accumulate", "capacity"), by_rows=False,
    ),
    "update": OpSpec(
        {"gradient": READ, "w": BOTH, "slot_0": BOTH, "slot_1": BOTH, "slot_2": BOTH},
        ("size", "optimizer"), by_rows=False,
    ),
    # functions in Python
    "unpack": OpSpec(
        {"x": READ, "y": WRITE}, ("features", "by_rows", "rows", "stride"), by_rows="setting"
    ),
    "pack": OpSpec(
        {"x": READ, "y": BOTH}, ("features", "by_rows", "rows", "stride", "accumulate"),
        by_rows="setting",
    ),
    "call": OpSpec({"failed": WRITE}, by_rows=False),
    "guard_calls": OpSpec({"failed": READ}, by_rows=False),
    # predictions
    "scatter": OpSpec({"x": READ}, ("features", "output")),
}  # fmt: skip
