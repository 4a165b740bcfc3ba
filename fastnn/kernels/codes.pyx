"""The numbers that csrc gives to activations, losses, metrics, optimizers and types, by name."""

cdef extern from "fnn.h":
    int FNN_N_ACTIVATIONS, FNN_N_LOSSES, FNN_N_METRICS, FNN_N_OPTIMIZERS
    int FNN_READS_INPUT, FNN_KEEPS_SQUARES
    int FNN_FLOAT32, FNN_FLOAT64, FNN_UINT8, FNN_INT32, FNN_INT64
    int FNN_CHUNK, FNN_GRANULE, FNN_STATISTICS, FNN_ROW_STATISTICS

cdef extern from "names.h":
    const char *const *fnn_activation_names
    const char *const *fnn_loss_names
    const char *const *fnn_metric_names
    const char *const *fnn_optimizer_names
    const int *fnn_activation_reads
    const int *fnn_optimizer_keeps

from fastnn.kernels.gradients cimport MAX_NORM, NON_NEGATIVE, UNIT_NORM

CHUNK = FNN_CHUNK
GRANULE = FNN_GRANULE
# Lines of 16 numbers that describe a normalized block of features, and 16 normalized rows.
STATISTICS = FNN_STATISTICS
ROW_STATISTICS = FNN_ROW_STATISTICS


cdef dict numbers(const char *const *names, int n):
    """Name -> number, from the names by number."""
    return {names[number].decode(): number for number in range(n)}


ACTIVATIONS = numbers(fnn_activation_names, FNN_N_ACTIVATIONS)
LOSSES = numbers(fnn_loss_names, FNN_N_LOSSES)
METRICS = numbers(fnn_metric_names, FNN_N_METRICS)
OPTIMIZERS = numbers(fnn_optimizer_names, FNN_N_OPTIMIZERS)

# Activations whose derivative is computed from the input; the others' from the output.
READS_INPUT = frozenset(
    name for name, number in ACTIVATIONS.items() if fnn_activation_reads[number] == FNN_READS_INPUT
)

# Optimizers that keep squares of gradients.
KEEPS_SQUARES = frozenset(
    name for name, number in OPTIMIZERS.items() if fnn_optimizer_keeps[number] == FNN_KEEPS_SQUARES
)

# How `update` and `constrain_rows` in gradients.pyx constrain a weight.
CONSTRAINTS = {"non_neg": NON_NEGATIVE, "max_norm": MAX_NORM, "unit_norm": UNIT_NORM}

DTYPES = {
    "float32": FNN_FLOAT32,
    "float64": FNN_FLOAT64,
    "uint8": FNN_UINT8,
    "int32": FNN_INT32,
    "int64": FNN_INT64,
}
