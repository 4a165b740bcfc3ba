"""The numbers that csrc gives to activations, losses, metrics, optimizers and types, by name."""

cdef extern from "fnn.h":
    int FNN_LINEAR, FNN_RELU, FNN_LEAKY_RELU, FNN_ELU, FNN_SELU, FNN_GELU, FNN_GELU_TANH, FNN_SILU, FNN_TANH
    int FNN_SIGMOID, FNN_HARD_SIGMOID, FNN_SOFTPLUS, FNN_SOFTSIGN, FNN_RELU_GENERAL, FNN_SCALED_RELU
    int FNN_SOFTMAX_CROSSENTROPY, FNN_CROSSENTROPY, FNN_SIGMOID_CROSSENTROPY, FNN_BINARY_CROSSENTROPY
    int FNN_MEAN_SQUARED_ERROR, FNN_MEAN_ABSOLUTE_ERROR, FNN_HUBER, FNN_POISSON, FNN_FOCAL_CROSSENTROPY
    int FNN_CATEGORICAL_ACCURACY, FNN_BINARY_ACCURACY
    int FNN_SGD, FNN_MOMENTUM, FNN_NESTEROV, FNN_ADAM, FNN_ADAM_AMSGRAD
    int FNN_RMSPROP, FNN_RMSPROP_MOMENTUM, FNN_RMSPROP_CENTERED, FNN_ADAGRAD, FNN_NADAM, FNN_LION
    int FNN_FLOAT32, FNN_FLOAT64, FNN_UINT8, FNN_INT32, FNN_INT64
    int FNN_CHUNK, FNN_GRANULE, FNN_STATISTICS, FNN_ROW_STATISTICS

from fastnn.kernels.gradients cimport MAX_NORM, NON_NEGATIVE, UNIT_NORM

CHUNK = FNN_CHUNK
GRANULE = FNN_GRANULE
# Lines of 16 numbers that describe a normalized block of features, and 16 normalized rows.
STATISTICS = FNN_STATISTICS
ROW_STATISTICS = FNN_ROW_STATISTICS

ACTIVATIONS = {
    "linear": FNN_LINEAR,
    "relu": FNN_RELU,
    "leaky_relu": FNN_LEAKY_RELU,
    "elu": FNN_ELU,
    "selu": FNN_SELU,
    "gelu": FNN_GELU,
    "gelu_tanh": FNN_GELU_TANH,
    "silu": FNN_SILU,
    "tanh": FNN_TANH,
    "sigmoid": FNN_SIGMOID,
    "hard_sigmoid": FNN_HARD_SIGMOID,
    "softplus": FNN_SOFTPLUS,
    "softsign": FNN_SOFTSIGN,
    "relu_general": FNN_RELU_GENERAL,
    "scaled_relu": FNN_SCALED_RELU,
}

# Activations whose derivative is computed from the input; the others' from the output.
READS_INPUT = frozenset({"gelu", "gelu_tanh", "silu", "softplus", "relu_general"})

LOSSES = {
    "softmax_crossentropy": FNN_SOFTMAX_CROSSENTROPY,
    "crossentropy": FNN_CROSSENTROPY,
    "sigmoid_crossentropy": FNN_SIGMOID_CROSSENTROPY,
    "binary_crossentropy": FNN_BINARY_CROSSENTROPY,
    "mean_squared_error": FNN_MEAN_SQUARED_ERROR,
    "mean_absolute_error": FNN_MEAN_ABSOLUTE_ERROR,
    "huber": FNN_HUBER,
    "poisson": FNN_POISSON,
    "focal_crossentropy": FNN_FOCAL_CROSSENTROPY,
}

METRICS = {
    "categorical_accuracy": FNN_CATEGORICAL_ACCURACY,
    "binary_accuracy": FNN_BINARY_ACCURACY,
}

OPTIMIZERS = {
    "sgd": FNN_SGD,
    "momentum": FNN_MOMENTUM,
    "nesterov": FNN_NESTEROV,
    "adam": FNN_ADAM,
    "adam_amsgrad": FNN_ADAM_AMSGRAD,
    "rmsprop": FNN_RMSPROP,
    "rmsprop_momentum": FNN_RMSPROP_MOMENTUM,
    "rmsprop_centered": FNN_RMSPROP_CENTERED,
    "adagrad": FNN_ADAGRAD,
    "nadam": FNN_NADAM,
    "lion": FNN_LION,
}

# Of `update` and `constrain_rows` in gradients.pyx.
CONSTRAINTS = {"non_neg": NON_NEGATIVE, "max_norm": MAX_NORM, "unit_norm": UNIT_NORM}

DTYPES = {
    "float32": FNN_FLOAT32,
    "float64": FNN_FLOAT64,
    "uint8": FNN_UINT8,
    "int32": FNN_INT32,
    "int64": FNN_INT64,
}
