"""The table of ops: one row for each kernel, with its operands.

A new op is a row here and a function of the same name in ``fastnn/kernels``. What a kernel calls
its operands is made of this table when fastnn is built: see ``tools/operands.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tensor:
    """What an op does with a tensor, and the type of its elements: NumPy's code without the byte
    order; "V" for a struct, None for what has several."""

    reads: bool = False
    writes: bool = False
    dtype: str | None = "f4"

    def of(self, dtype: str | None) -> Tensor:
        """The same with elements of this type."""
        return replace(self, dtype=dtype)


READ, WRITE, BOTH = Tensor(reads=True), Tensor(writes=True), Tensor(True, True)

ROWS, LINES, EXAMPLES, TASKS = "rows", "lines", "examples", "tasks"
"""What a member of the team takes together: 16 rows of the batch, or one with its positions; 16
lines; one row, whatever positions it has; a part of the result, whoever comes first.
"""


@dataclass(frozen=True)
class OpSpec:
    """Operands of an op.

    tensors: name -> what the op does with it, and its type. integers, numbers: names of the
    settings.
    shared: how the team shares the op. Ops that give each row of the batch to the same member need
    not wait for each other where they meet in a tensor. An op with an integer "by_rows" is shared
    so only where that is set.
    observing: it is done only in a step whose statistics are taken.
    closing: it is done even if a guard has stopped the step for good.
    decides: it may stop the step.
    meets: other processes, which wait there.
    """

    tensors: dict[str, Tensor]
    integers: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    shared: str = ROWS
    observing: bool = False
    closing: bool = False
    decides: bool = False
    meets: bool = False


@dataclass(frozen=True)
class Block:
    """Operands that stand one after another in the rows of several ops: a struct for kernels.

    struct: its name. field: what it is called among the operands of an op. operands: name in the
    rows -> name in the struct.
    """

    struct: str
    field: str
    operands: dict[str, str]


_TABLE = READ.of("i4")
_READ_F8, _WRITE_F8 = READ.of("f8"), WRITE.of("f8")
_PARAMS = ("param_0", "param_1", "param_2")
_DENSE = ("inputs", "units", "kernel_block", "by_rows", "activation")
_PICTURE = ("height", "width", "channels", "row_of_x", "row")
_TILES = ("lower", "whole", "right", "corner")
_NOISE = ("key", "stream", "threshold", "lines")
_PARTS = {
    "": BOTH, "_slot_0": BOTH, "_slot_1": BOTH, "_slot_2": BOTH,
    "_gradient": BOTH, "_squares": WRITE, "_summaries": WRITE.of("V"),
}  # fmt: skip
_WEIGHT = {f"{role}{part}": mode for role in ("kernel", "bias") for part, mode in _PARTS.items()}
_HAND_OVER = (
    ("optimizer", "accumulate", "unfinished", "kernel_non_negative", "bias_non_negative"),
    ("kernel_l1", "kernel_l2", "bias_l1", "bias_l2", "clipvalue"),
)
_GRADIENT = ("inputs", "units", "kernel_block", *_HAND_OVER[0])
_CLIP = ("clipnorm", "adaptive_clip")
_UPDATED = {
    "gradient": READ, "w": BOTH, "slot_0": BOTH, "slot_1": BOTH, "slot_2": BOTH, "average": BOTH,
    "norm": _READ_F8,
}  # fmt: skip
_UPDATE = (
    ("blocks", "rows", "group", "optimizer", "constraint", "whole", "overwrite_every"),
    (*_CLIP, "constraint_value", "ema_momentum"),
)
_TARGET = {
    "y_pred": READ, "y_true": READ, "labels": READ.of("i4"), "weights": READ,
    "row_values": WRITE, "d_y_pred": WRITE, "probabilities": WRITE,
}  # fmt: skip
_NONZEROS = {"column_start": READ.of("i4"), "row": READ.of("u2"), "value": READ}

BLOCKS = (
    Block("Noise", "noise", {name: name for name in _NOISE}),
    Block("Tiles", "tiles", {name: name for name in _TILES}),
    Block("Activated", "activated", {name: name for name in ("activation", *_NOISE)}),
    *(
        Block("Weight", role, {f"{role}{part}": part.lstrip("_") or "w" for part in _PARTS})
        for role in ("kernel", "bias")
    ),
    Block("HandOverIntegers", "hand_over", {name: name for name in _HAND_OVER[0]}),
    Block("HandOverNumbers", "hand_over", {name: name for name in _HAND_OVER[1]}),
    Block("Clip", "clip", {name: name for name in _CLIP}),
    Block("Target", "target", {name: name for name in _TARGET}),
    Block("Nonzeros", "nonzeros", {name: name for name in _NONZEROS}),
)

OPS: dict[str, OpSpec] = {
    # from the data set
    "gather": OpSpec({"y": WRITE}, ("features", "source"), ("scale", "offset")),
    "gather_pixels": OpSpec(
        {"moves": READ.of("i8"), "y": WRITE},
        ("source", "height", "width", "channels", "count", "row"), ("scale", "offset"),
        shared=EXAMPLES,
    ),
    "gather_nonzeros": OpSpec({"y": WRITE}, ("features", "source")),
    "gather_values": OpSpec({"y": WRITE.of(None)}, ("source", "lines", "same")),
    "sparse_columns": OpSpec(
        {"column_start": WRITE.of("i4"), "row": WRITE.of("u2"), "value": WRITE},
        ("columns", "source", "capacity"),
        shared=TASKS,
    ),
    # pictures whose numbers lie as those of an array
    "move_pixels": OpSpec(
        {"moves": READ.of("i8"), "x": READ, "y": WRITE},
        (*_PICTURE, "count"), ("scale", "offset"), shared=EXAMPLES,
    ),
    "warp": OpSpec(
        {"x": READ, "y": WRITE}, (*_PICTURE, "kind", "fill", "bilinear", *_NOISE),
        ("scale", "offset", "fill_value", "low_0", "high_0", "low_1", "high_1"), shared=EXAMPLES,
    ),
    "tint": OpSpec(
        {"x": READ, "y": WRITE}, (*_PICTURE, "kind", *_NOISE),
        ("scale", "offset", "low", "high", "lowest", "highest"), shared=EXAMPLES,
    ),
    # forward
    "dense_forward": OpSpec(
        {"x": READ, "kernel": READ, "bias": READ, "y": WRITE, "z": WRITE},
        (*_DENSE, *_NOISE, "segments"), _PARAMS, shared=LINES,
    ),
    "dense_forward_sparse": OpSpec(
        {"kernel": READ, "bias": READ, "y": WRITE, "z": WRITE},
        (*_DENSE, *_NOISE, "source"), _PARAMS, shared=LINES,
    ),
    "conv_forward": OpSpec(
        {"x": READ, "kernel": READ, "bias": READ, "windows": _TABLE, "starts": _TABLE, "y": WRITE,
         "z": WRITE},
        ("channels", "filters", "kernel_block", "activation", "taps", "windows_of_row", "row",
         "window_rows", "groups"),
        _PARAMS, shared=EXAMPLES,
    ),
    "expand_kernel": OpSpec(
        {"kernel": READ, "expanded": WRITE},
        ("channels", "filters", "members", "taps", "units", "kernel_block", "expanded_block"),
        shared=TASKS,
    ),
    "turn_kernel": OpSpec(
        {"kernel": READ, "turned": WRITE},
        ("channels", "filters", "kernel_block", "turned_block", "taps", "groups"), shared=TASKS,
    ),
    "winograd_kernel": OpSpec(
        {"kernel": READ, "transformed": WRITE},
        ("channels", "filters", "kernel_block", "groups", "turned"), shared=TASKS,
    ),
    "winograd_forward": OpSpec(
        {"x": READ, "transformed": READ, "bias": READ, "tiles": _TABLE, "outputs": _TABLE,
         "y": WRITE, "z": WRITE},
        ("channels", "filters", "groups", "activation", "windows_of_row", *_TILES),
        _PARAMS, shared=EXAMPLES,
    ),
    "depthwise_forward": OpSpec(
        {"x": READ, "kernel": READ, "bias": READ, "windows": _TABLE, "y": WRITE, "z": WRITE},
        ("features", "kernel_block", "activation", "taps", "windows_of_row"), _PARAMS,
        shared=EXAMPLES,
    ),
    "repeat_channels": OpSpec({"x": READ, "y": WRITE}, ("channels", "times")),
    "max_pool": OpSpec(
        {"x": READ, "windows": _TABLE, "y": WRITE, "found": WRITE.of("u1")},
        ("features", "taps", "windows_of_row", "index_bytes"), shared=EXAMPLES,
    ),
    "sum_windows": OpSpec(
        {"x": READ, "windows": _TABLE, "of_windows": READ, "of_taps": READ, "y": BOTH},
        ("features", "taps", "windows_of_row", "accumulate"), shared=EXAMPLES,
    ),
    "embedding_forward": OpSpec(
        {"kernel": READ, "y": WRITE}, ("features", "kernel_block", "source")
    ),
    "sort_indices": OpSpec(
        {name: WRITE.of("i4")
         for name in ("lines", "indices", "starts", "more_lines", "more_indices")},
        ("source", "positions", "inputs"), shared=TASKS,
    ),
    "activation_forward": OpSpec({"z": READ, "y": WRITE}, ("features", "kind"), _PARAMS),
    "softmax_forward": OpSpec({"z": READ, "y": WRITE}, ("features",)),
    "standardize": OpSpec(
        {"x": READ, "mean": READ, "variance": READ, "y": BOTH},
        ("features", "accumulate", "invert", "one_for_all"), ("epsilon",),
    ),
    "affine": OpSpec({"x": READ, "y": BOTH}, ("features", "accumulate"), ("scale", "offset")),
    "copy_columns": OpSpec(
        {"x": READ, "y": BOTH}, ("count", "start", "to", "accumulate", "features_of_y")
    ),
    "multiply": OpSpec({"x": READ, "y": READ, "z": BOTH}, ("features", "accumulate")),
    "extremum": OpSpec({"x": READ, "y": READ, "z": WRITE}, ("features", "smallest")),
    "permute": OpSpec(
        {"x": READ, "places": READ.of("i8"), "y": BOTH}, ("features_of_y", "lines", "accumulate"),
        shared=EXAMPLES,
    ),
    "regroup": OpSpec(
        {"x": READ, "y": BOTH},
        ("features_of_x", "features_of_y", "numbers", "accumulate", "row_of_x", "row_of_y"),
        shared=EXAMPLES,
    ),
    "batchnorm_forward": OpSpec(
        {"x": READ, "gamma": READ, "beta": READ, "statistics": WRITE, "z": WRITE, "y": WRITE},
        ("features", "activation", *_NOISE), ("epsilon", *_PARAMS), shared=TASKS,
    ),
    "batchnorm_inference": OpSpec(
        {"x": READ, "gamma": READ, "beta": READ, "moving_mean": READ, "moving_variance": READ,
         "z": WRITE, "y": WRITE},
        ("features", "activation", *_NOISE), ("epsilon", *_PARAMS), shared=LINES,
    ),
    "layernorm_forward": OpSpec(
        {"x": READ, "gamma": READ, "beta": READ, "statistics": WRITE, "z": WRITE, "y": WRITE},
        ("features", "activation", *_NOISE), ("epsilon", *_PARAMS),
        shared=LINES,
    ),
    "groupnorm_forward": OpSpec(
        {"x": READ, "gamma": READ, "beta": READ, "statistics": WRITE, "z": WRITE, "y": WRITE},
        ("features", "activation", *_NOISE, "groups"), ("epsilon", *_PARAMS), shared=EXAMPLES,
    ),
    "dropout": OpSpec(
        {"x": READ, "y": BOTH}, ("features", "accumulate", *_NOISE), ("scale",)
    ),
    "drop_channels": OpSpec(
        {"x": READ, "y": BOTH}, ("features", "accumulate", *_NOISE), ("scale",), shared=EXAMPLES
    ),
    "gaussian_noise": OpSpec({"x": READ, "y": WRITE}, ("features", *_NOISE), ("scale",)),
    "drop_weights": OpSpec(
        {"w": READ, "dropped": WRITE}, ("inputs", "units", "kernel_block", *_NOISE), ("scale",),
        shared=TASKS,
    ),
    "square": OpSpec({"x": READ, "y": WRITE}, ("features",)),
    "square_weights": OpSpec({"w": READ, "y": WRITE}, ("size",), shared=TASKS),
    "gaussian_expectation": OpSpec(
        {"mean": READ, "variance": READ, "nodes": READ, "y": WRITE},
        ("features", "activation", "points"), (*_PARAMS, "ratio"),
    ),
    # objective
    "loss": OpSpec(
        _TARGET, ("features", "kind", "mean"), ("scale", "param_0", "param_1", "param_2", "param_3")
    ),
    "metric": OpSpec(_TARGET, ("features", "kind"), ("scale", "param_0")),
    "sum_rows": OpSpec(
        {"values": READ, "into": BOTH.of("f8")}, ("sum", "times_rows", "lines"),
        shared=TASKS, closing=True,
    ),
    # backward
    "softmax_backward": OpSpec(
        {"y": READ, "dy": READ, "dz": BOTH}, ("features", "accumulate")
    ),
    "activation_backward": OpSpec(
        {"z": READ, "y": READ, "dy": READ, "dz": BOTH}, ("features", "kind", "accumulate"), _PARAMS
    ),
    "transpose": OpSpec({"x": READ, "y": WRITE}, ("features",), shared=LINES),
    "dense_backward_input": OpSpec(
        {"dz_t": READ, "kernel": READ, "dx": BOTH, "x_z": READ, "x": READ,
         "magnitudes": WRITE.of("i4"), "dx_t": WRITE},
        (*_DENSE, "accumulate", "units_of_rows", "segments"), _PARAMS, shared=LINES,
    ),
    "batchnorm_backward": OpSpec(
        {"dy": READ, "x": READ, "z": READ, "y": READ, "gamma": READ, "statistics": READ,
         "dx": BOTH, "dx_t": WRITE, "d_gamma": BOTH, "d_beta": BOTH},
        ("features", "activation", "accumulate", "accumulate_gamma", "accumulate_beta"), _PARAMS,
        shared=TASKS,
    ),
    "batchnorm_inference_backward": OpSpec(
        {"dz": READ, "gamma": READ, "moving_variance": READ, "dx": BOTH},
        ("features", "accumulate"), ("epsilon",),
    ),
    "layernorm_backward": OpSpec(
        {"dz": READ, "x": READ, "gamma": READ, "statistics": READ, "dx": BOTH},
        ("features", "accumulate"),
        shared=LINES,
    ),
    "layernorm_backward_weights": OpSpec(
        {"dz": READ, "x": READ, "statistics": READ, "d_gamma": BOTH, "d_beta": BOTH},
        ("features", "accumulate_gamma", "accumulate_beta"), shared=TASKS,
    ),
    "groupnorm_backward": OpSpec(
        {"dz": READ, "x": READ, "gamma": READ, "statistics": READ, "means": WRITE, "dx": BOTH},
        ("features", "accumulate", "groups"), shared=EXAMPLES,
    ),
    "groupnorm_backward_weights": OpSpec(
        {"dz": READ, "x": READ, "statistics": READ, "d_gamma": BOTH, "d_beta": BOTH},
        ("features", "accumulate_gamma", "accumulate_beta", "groups"), shared=TASKS,
    ),
    "extremum_backward": OpSpec(
        {"x": READ, "other": READ, "z": READ, "dz": READ, "dx": BOTH}, ("features", "accumulate")
    ),
    "dense_backward_weights": OpSpec(
        {"x": READ, "dz": READ, **_WEIGHT, "dropped": READ}, (*_GRADIENT, "segments"),
        (*_HAND_OVER[1], "kept_scale"), shared=TASKS,
    ),
    "dense_backward_weights_sparse": OpSpec(
        {**_NONZEROS, "dz": READ, **_WEIGHT, "dropped": READ},
        (*_GRADIENT, "capacity"), (*_HAND_OVER[1], "kept_scale"), shared=TASKS,
    ),
    "embedding_backward": OpSpec(
        {"dz": READ, "lines": _TABLE, "indices": _TABLE, "starts": _TABLE, **_WEIGHT},
        (*_GRADIENT, "touched"), _HAND_OVER[1], shared=TASKS,
    ),
    "conv_backward_input": OpSpec(
        {"dz": READ, "turned": READ, "windows": _TABLE, "dx": BOTH, "x_z": READ, "x": READ},
        ("filters", "channels", "turned_block", "activation", "taps", "positions", "accumulate",
         "groups"),
        _PARAMS, shared=EXAMPLES,
    ),
    "winograd_backward_input": OpSpec(
        {"dz": READ, "transformed": READ, "tiles": _TABLE, "outputs": _TABLE,
         "dx": BOTH, "x_z": READ, "x": READ},
        ("filters", "channels", "groups", "activation", "positions", "accumulate", *_TILES),
        _PARAMS, shared=EXAMPLES,
    ),
    "conv_backward_weights": OpSpec(
        {"x": READ, "dz": READ, "pairs": _TABLE, "counts": _TABLE, "starts": _TABLE,
         "windows": _TABLE, "partials": WRITE},
        ("channels", "filters", "kernel_block", "slice", "taps", "windows_of_row", "row",
         "window_rows", "groups"),
        shared=TASKS,
    ),
    "winograd_backward_weights": OpSpec(
        {"x": READ, "dz": READ, "tiles": _TABLE, "outputs": _TABLE, "partials": WRITE},
        ("channels", "filters", "groups", "slice", "windows_of_row", *_TILES),
        shared=TASKS,
    ),
    "reduce_partials": OpSpec(
        {"expanded": READ, "partials": WRITE},
        ("channels", "filters", "members", "taps", "units", "slice"), shared=TASKS,
    ),
    "depthwise_backward_input": OpSpec(
        {"dz": READ, "kernel": READ, "windows": _TABLE, "dx": BOTH, "x_z": READ, "x": READ},
        ("features", "kernel_block", "activation", "taps", "positions", "accumulate"), _PARAMS,
        shared=EXAMPLES,
    ),
    "depthwise_backward_weights": OpSpec(
        {"x": READ, "dz": READ, "windows": _TABLE, "partials": WRITE},
        ("features", "slice", "taps", "windows_of_row"), shared=TASKS,
    ),
    "sum_repeated": OpSpec({"dy": READ, "dx": BOTH}, ("channels", "times", "accumulate")),
    "max_pool_backward": OpSpec(
        {"dy": READ, "found": READ.of("u1"), "readers": _TABLE, "dx": BOTH, "x_z": READ,
         "x": READ},
        ("features", "most", "positions", "index_bytes", "activation", "accumulate"), _PARAMS,
        shared=EXAMPLES,
    ),
    "max_pool_spread": OpSpec(
        {"dy": READ, "found": READ.of("u1"), "windows": _TABLE, "y": READ, "dx": WRITE},
        ("features", "taps", "positions", "unread", "index_bytes", "activation"), _PARAMS,
        shared=EXAMPLES,
    ),
    "sum_slices": OpSpec(
        {"partials": READ, **_WEIGHT}, (*_GRADIENT, "slice"), _HAND_OVER[1], shared=TASKS
    ),
    # are gradients finite, how long are they
    "magnitude": OpSpec({"x": READ, "magnitudes": WRITE.of("i4")}, ("features", "row")),
    "magnitude_sparse": OpSpec({"magnitudes": WRITE.of("i4")}, ("source",)),
    "guard_factors": OpSpec(
        {"magnitudes": READ.of("i4"), "factors": READ.of("i8")}, ("products",),
        shared=TASKS, decides=True,
    ),
    "finish_gradient": OpSpec(
        {"gradient": BOTH, "w": READ, "squares": WRITE},
        ("blocks", "rows", "panel"), ("l1", "l2", "clipvalue"), shared=TASKS,
    ),
    "square_sums": OpSpec(
        {"squares": READ, "gradient": READ, "norm": _WRITE_F8},
        ("count", "size", "number", "exact"), ("limit",), shared=TASKS,
    ),
    "center": OpSpec(
        {"x": READ, "means": _WRITE_F8, "y_t": WRITE}, ("features", "segments"), shared=TASKS
    ),
    "product_norms": OpSpec(
        {"x_t": READ, "x_means": _READ_F8, "dz_t": READ, "dz_means": _READ_F8, "parts": _WRITE_F8},
        ("inputs", "units"), shared=TASKS,
    ),
    "product_norm_sums": OpSpec(
        {"x_means": _READ_F8, "dz_means": _READ_F8, "parts": _READ_F8, "kernel_norm": _WRITE_F8,
         "bias_norm": _WRITE_F8, "error": _WRITE_F8},
        ("inputs", "units", "number"), shared=TASKS,
    ),
    "guard": OpSpec(
        {"norms": _READ_F8, "errors": _READ_F8}, ("count", "halts", "unstored"),
        ("global_clipnorm",), shared=TASKS, decides=True,
    ),
    # update
    "clip_gradient": OpSpec({**_UPDATED, "gradient": BOTH, "w": READ}, *_UPDATE, shared=TASKS),
    "update": OpSpec(_UPDATED, *_UPDATE, shared=TASKS),
    "constrain_rows": OpSpec(
        {"w": BOTH}, ("blocks", "rows", "stored_rows", "constraint", "whole"),
        ("constraint_value",), shared=TASKS,
    ),
    # penalties
    "penalty": OpSpec(
        {"w": READ, "penalties": _WRITE_F8}, ("blocks", "rows"), ("l1", "l2"), shared=TASKS
    ),
    "sum_penalties": OpSpec(
        {"penalties": _READ_F8}, ("sum", "blocks"), shared=TASKS, closing=True
    ),
    "regularize_activity": OpSpec(
        {"y": READ, "dy": BOTH, "row_values": WRITE}, ("features", "accumulate"), ("l1", "l2")
    ),
    # Muon: matrices packed as weights are
    "muon_momentum": OpSpec(
        {"gradient": READ, "momentum": BOTH, "x": WRITE, "squares": _WRITE_F8},
        ("rows", "columns", "scalar", "nesterov"), shared=TASKS,
    ),
    "muon_normalize": OpSpec(
        {"squares": _READ_F8, "x": BOTH}, ("rows", "columns"), ("epsilon",), shared=TASKS
    ),
    "gram": OpSpec(
        {"x": READ, "y": WRITE}, ("rows", "columns"), ("constant", "linear", "square"),
        shared=TASKS,
    ),
    "matrix_product": OpSpec(
        {"x": READ, "p": READ, "y": WRITE}, ("rows", "columns"), shared=TASKS
    ),
    "transpose_matrix": OpSpec({"x": READ, "y": WRITE}, ("rows", "columns"), shared=TASKS),
    "muon_update": OpSpec(
        {"x": READ, "w": BOTH}, ("rows", "columns", "scalar"), ("scale",), shared=TASKS
    ),
    "batchnorm_update_moving": OpSpec(
        {"statistics": READ, "moving_mean": BOTH, "moving_variance": BOTH},
        ("features",), ("momentum", "one_minus_momentum"), shared=TASKS,
    ),
    # statistics
    "keep_weights": OpSpec({"w": READ, "kept": WRITE}, ("size",), shared=TASKS, observing=True),
    "summarize_weights": OpSpec(
        {"x": READ, "summaries": WRITE.of("V")}, ("size",), shared=TASKS, observing=True
    ),
    "summarize_step": OpSpec(
        {"w": READ, "kept": BOTH, "before": WRITE.of("V"), "after": WRITE.of("V"),
         "step": WRITE.of("V")},
        ("size",), shared=TASKS, observing=True,
    ),
    "summarize_activations": OpSpec(
        {"y": READ, "summaries": WRITE.of("V"), "last_nonzero": BOTH.of("i8")}, ("features",),
        ("low", "high"), shared=TASKS, observing=True,
    ),
    "record_weights": OpSpec(
        {"summaries": READ.of("V")}, ("count", "column", "number"), shared=TASKS, observing=True
    ),
    "record_activations": OpSpec(
        {"summaries": READ.of("V"), "last_nonzero": READ.of("i8")},
        ("features", "column", "number", "window"), shared=TASKS, observing=True,
    ),
    # functions in Python
    "unpack": OpSpec(
        {"x": READ, "y": WRITE}, ("features", "by_rows", "rows", "stride")
    ),
    "pack": OpSpec(
        {"x": READ, "y": BOTH}, ("features", "by_rows", "rows", "stride", "accumulate", "mean"),
    ),
    "call": OpSpec({"failed": WRITE}, shared=TASKS),
    "guard_calls": OpSpec({"failed": READ}, shared=TASKS, decides=True),
    # other processes
    "exchange": OpSpec({"failed": WRITE}, shared=TASKS, meets=True),
    "add_sums": OpSpec({"sums": _READ_F8}, ("count",), shared=TASKS, closing=True),
    # predictions
    "scatter": OpSpec({"x": READ}, ("features", "output")),
}  # fmt: skip
