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

#define ACTIVATION(number, name, ...) [number] = name##_forward,
static const fnn_activation_forward activations[] = {
#include "activations.def"
};
#undef ACTIVATION

#define ACTIVATION(number, name, ...) [number] = name##_backward,
static const fnn_activation_backward activations_backward[] = {
#include "activations.def"
};
#undef ACTIVATION

#define UPDATE(number, name, ...) [number] = name##_update,
static const fnn_update updates[] = {
#include "optimizers.def"
};
#undef UPDATE

#define LOSS(number, name, ...) [number] = name,
static const fnn_rows losses[] = {
#include "losses.def"
};
#undef LOSS

#define METRIC(number, name, ...) [number] = name,
static const fnn_rows metrics[] = {
#include "metrics.def"
};
#undef METRIC

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
    .winograd_output_gradient = winograd_output_gradient,
    .winograd_kernel_gradient = winograd_kernel_gradient,
    .winograd_prefetch = winograd_prefetch,
    .depthwise = depthwise,
    .depthwise_pairs = depthwise_pairs,
    .window_max = {window_max_8, window_max_32},
    .window_max_backward = {window_max_backward_8, window_max_backward_32},
    .window_max_spread = {window_max_spread_8, window_max_spread_32},
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
    .activation = activations,
    .activation_backward = activations_backward,
    .update = updates,
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
    .loss = losses,
    .metric = metrics,
};
