/* Everything that computes, compiled once for each CPU level: -DFNN_LEVEL=avx2 -DFNN_AVX2 ... */
#include <float.h>
#include <stddef.h>

#include "fnn.h"
#include "vec.h"
#include "scalar_math.h"

#include "tiles.inc.c"
#include "sparse.inc.c"
#include "convolution.inc.c"
#include "winograd.inc.c"
#include "depthwise.inc.c"
#include "pooling.inc.c"
#include "activations.inc.c"
#include "gradients.inc.c"
#include "updates.inc.c"
#include "rows.inc.c"
#include "random.inc.c"
#include "augmentation.inc.c"
#include "norms.inc.c"
#include "merging.inc.c"
#include "statistics.inc.c"
#include "losses.inc.c"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

const fnn_kernels JOIN(fnn_kernels_, FNN_LEVEL) = {
    .name = TEXT(FNN_LEVEL),
    .product = product,
    .product_transposed = product_transposed,
    .sparse_product = sparse_product,
    .sparse_columns = sparse_columns,
    .sparse_product_transposed = sparse_product_transposed,
    .transpose = transpose,
    .window_product = window_product,
    .pairs_product = pairs_product,
    .gather_patches = gather_patches,
    .winograd_kernel = winograd_kernel,
    .winograd_input = winograd_input,
    .winograd_output = winograd_output,
    .depthwise = depthwise,
    .depthwise_pairs = depthwise_pairs,
    .window_max = {window_max_8, window_max_32},
    .window_max_backward = {window_max_backward_8, window_max_backward_32},
    .window_sum = window_sum,
    .add_bias = add_bias,
    .add_rows = add_rows,
    .add = add,
    .affine = affine,
    .squares = squares,
    .magnitude = magnitude,
    .regularize = regularize,
    .penalty = penalty,
    .clip = clip,
    .scale_columns = scale_columns,
    .average = average,
    .axpby = axpby,
    .summarize = summarize,
    .summarize_activations = summarize_activations,
#define ROW(kind, name) .activation[kind] = name, .activation_backward[kind] = name##_backward
    ROW(FNN_LINEAR, linear),
    ROW(FNN_RELU, relu),
    ROW(FNN_LEAKY_RELU, leaky_relu),
    ROW(FNN_ELU, elu),
    ROW(FNN_SELU, selu),
    ROW(FNN_GELU, gelu),
    ROW(FNN_GELU_TANH, gelu_tanh),
    ROW(FNN_SILU, silu),
    ROW(FNN_TANH, tanh_activation),
    ROW(FNN_SIGMOID, sigmoid),
    ROW(FNN_HARD_SIGMOID, hard_sigmoid),
    ROW(FNN_SOFTPLUS, softplus),
    ROW(FNN_SOFTSIGN, softsign),
    ROW(FNN_RELU_GENERAL, relu_general),
    ROW(FNN_SCALED_RELU, scaled_relu),
#undef ROW
    .update[FNN_SGD] = sgd,
    .update[FNN_MOMENTUM] = momentum,
    .update[FNN_NESTEROV] = nesterov,
    .update[FNN_ADAM] = adam,
    .update[FNN_ADAM_AMSGRAD] = adam_amsgrad,
    .update[FNN_RMSPROP] = rmsprop,
    .update[FNN_RMSPROP_MOMENTUM] = rmsprop_momentum,
    .update[FNN_RMSPROP_CENTERED] = rmsprop_centered,
    .update[FNN_ADAGRAD] = adagrad,
    .update[FNN_NADAM] = nadam,
    .update[FNN_LION] = lion,
    .warp = {warp_nearest, warp_bilinear},
    .draw = draw,
    .drop = drop,
    .drop_marked = drop_marked,
    .drop_gradient = drop_gradient,
    .drop_columns = drop_columns,
    .add_normal = add_normal,
    .square = square,
    .deviation = deviation,
    .leaky_relu_expectation = leaky_relu_expectation,
    .batch_statistics = batch_statistics,
    .scale_rows = scale_rows,
    .batch_sums = batch_sums,
    .batch_gradient = batch_gradient,
    .group_gradient = group_gradient,
    .row_statistics = row_statistics,
    .normalize_rows = normalize_rows,
    .normalize_rows_backward = normalize_rows_backward,
    .row_sums = row_sums,
    .multiply = multiply,
    .maximum = maximum,
    .minimum = minimum,
    .extremum_backward = extremum_backward,
    .gather[FNN_FLOAT32] = gather_float32,
    .gather[FNN_FLOAT64] = gather_float64,
    .gather[FNN_UINT8] = gather_uint8,
    .gather[FNN_INT32] = gather_int32,
    .gather[FNN_INT64] = gather_int64,
    .scatter = scatter,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .loss[FNN_SOFTMAX_CROSSENTROPY] = softmax_crossentropy,
    .loss[FNN_CROSSENTROPY] = crossentropy,
    .loss[FNN_SIGMOID_CROSSENTROPY] = sigmoid_crossentropy,
    .loss[FNN_BINARY_CROSSENTROPY] = binary_crossentropy,
    .loss[FNN_MEAN_SQUARED_ERROR] = mean_squared_error,
    .loss[FNN_MEAN_ABSOLUTE_ERROR] = mean_absolute_error,
    .loss[FNN_HUBER] = huber,
    .loss[FNN_POISSON] = poisson,
    .loss[FNN_FOCAL_CROSSENTROPY] = focal_crossentropy,
    .metric[FNN_CATEGORICAL_ACCURACY] = categorical_accuracy,
    .metric[FNN_BINARY_ACCURACY] = binary_accuracy,
};
