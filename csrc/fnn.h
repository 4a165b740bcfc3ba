/* What the Cython kernels call: one table of functions for each CPU level.
 *
 * Conventions: capitals and plain names for dimensions, `d` + name for a gradient, outputs last in a
 * kernel's pointer list. Activations of a batch lie in blocks: (ceil(features / 16), capacity or more, 16),
 * `stride` floats from block to block. No function here starts a thread, allocates or fails.
 */
#ifndef FNN_H
#define FNN_H

#include <stdint.h>

enum { FNN_BLOCK = 16 };

/* A sum over features is one chain of multiply-adds in ascending order. A sum over the rows of a batch
 * is cut into chunks of this many rows, each a chain, added in ascending order: a batch of 60,000 is
 * summed as exactly as one of 128. The size is part of the arithmetic: the dense and the sparse product
 * share it, so both give the same bits. */
enum { FNN_CHUNK = 128 };

/* Nonzeros of a row can be found from any multiple of this many columns: that many rows of W, for the
 * blocks that the registers hold, stay in the first-level cache while the rows of x pass by. */
enum { FNN_GRANULE = 128 };

/* Lines of 16 that describe a normalized block of features, and 16 normalized rows: csrc/norms.inc.c. */
enum { FNN_STATISTICS = 4, FNN_ROW_STATISTICS = 3 };

/* Numbers. What there is of these kinds is listed once, in a file for each; its names are in names.h. */
#define ACTIVATION(number, ...) number,
enum fnn_activation {
#include "activations.def"
    FNN_N_ACTIVATIONS
};
#undef ACTIVATION

#define LOSS(number, ...) number,
enum fnn_loss {
#include "losses.def"
    FNN_N_LOSSES
};
#undef LOSS

#define METRIC(number, ...) number,
enum fnn_metric {
#include "metrics.def"
    FNN_N_METRICS
};
#undef METRIC

#define UPDATE(number, ...) number,
enum fnn_optimizer {
#include "optimizers.def"
    FNN_N_OPTIMIZERS
};
#undef UPDATE

/* What an activation's derivative is computed from. */
enum fnn_reads { FNN_READS_OUTPUT, FNN_READS_INPUT };

/* What an optimizer's slots are sums of. */
enum fnn_keeps { FNN_KEEPS_GRADIENTS, FNN_KEEPS_SQUARES };

enum fnn_dtype { FNN_FLOAT32, FNN_FLOAT64, FNN_UINT8, FNN_INT32, FNN_INT64, FNN_N_DTYPES };

enum { FNN_MAX_SLOTS = 3 };

/* One output of a batch against its target, row by row. */
typedef struct {
    int64_t rows, features, stride;
    const float *y_pred;    /* (rows, features) in blocks */
    const float *y_true;    /* the same shape, or NULL where labels are given */
    const int32_t *labels;  /* (rows,), or NULL */
    const float *weights;   /* (rows,), or NULL for ones */
    const float *params;    /* of the kind of loss or metric */
    float scale;            /* d(loss of the batch) / d(loss of a row) */
    float *row_values;      /* OUT (rows,): weight * loss, or the metric */
    float *d_y_pred;        /* OUT like y_pred, or NULL: d(loss of the batch) / d(y_pred) */
    float *probabilities;   /* OUT like y_pred: of the kinds that take logits */
} fnn_target;

/* A data set's nonzeros, row after row (CSR), with a finger every FNN_GRANULE columns. */
typedef struct {
    int64_t granules;         /* ceil(columns / FNN_GRANULE) */
    const int64_t *start;     /* (N,): the row's first nonzero */
    const uint16_t *granule;  /* (N, granules + 1): from the row's start */
    const uint16_t *column;   /* (nonzeros,) */
    const float *value;       /* (nonzeros,) */
} fnn_sparse;

/* A chunk of a batch, column after column (CSC). */
typedef struct {
    int32_t *start;  /* (columns + 1,) */
    uint16_t *row;   /* (nonzeros,): within the chunk */
    float *value;    /* (nonzeros,) */
} fnn_columns;

typedef void (*fnn_activation_forward)(int64_t n, const float *params, const float *z, float *y);
typedef void (*fnn_activation_backward)(int64_t n, const float *params, const float *z, const float *y,
                                        const float *dy, float *dz);
typedef void (*fnn_rows)(const fnn_target *t);
typedef void (*fnn_update)(int64_t n, const float *scalars, const float *gradient, float *w, float *slot_0,
                           float *slot_1, float *slot_2);

/* A layer's random numbers at one step: see csrc/random.inc.c. */
typedef struct {
    uint64_t key;       /* the layer's seed */
    int64_t step;
    uint32_t stream;    /* below 2^16 */
    uint32_t threshold; /* words below it drop */
    float scale;        /* of what is kept; or of the noise */
    int64_t row;        /* of the numbers' first row: a multiple of 4, if not 0; others have those before it */
} fnn_noise;

/* Which pixel a picture (height, width, channels) is read at: row of[0][0] h + of[0][1] w + of[0][2], column of[1]
 * likewise, for the pixel (h, w) of the result, which has the same shape. */
enum fnn_fill { FNN_FILL_CONSTANT, FNN_FILL_NEAREST, FNN_FILL_REFLECT, FNN_FILL_WRAP };

typedef struct {
    int64_t height, width, channels;
    double of[2][3];
    int fill;         /* what is beyond the edges */
    float fill_value; /* for FNN_FILL_CONSTANT */
} fnn_warp;

/* Figures of some numbers, and of some activations: csrc/statistics.inc.c. */
typedef struct {
    double squares, largest, nonfinite;
} fnn_summary;

typedef struct {
    double count, mean, squares; /* squares: of the deviations from the mean */
    double zeros, saturated, nonfinite;
    double saturated_units; /* of 16: how many are saturated in nearly all rows */
} fnn_activation_summary;

typedef struct {
    const char *name;

    /* tiles */
    void (*product)(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block, const float *b,
                    int64_t b_block, float *c, int64_t c_block, int accumulate);
    void (*product_transposed)(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block,
                               int64_t a_line, const float *b, int64_t b_block, float *c, int64_t c_block,
                               int accumulate);
    void (*sparse_product)(int64_t rows, const int64_t *order, const fnn_sparse *x, int64_t blocks,
                           const float *b, int64_t b_block, float *c, int64_t c_block);
    void (*sparse_columns)(int64_t rows, const int64_t *order, int64_t granule_0, int64_t granule_1,
                           int64_t columns, const fnn_sparse *x, int32_t first, const fnn_columns *out);
    void (*sparse_product_transposed)(int64_t i0, int64_t i1, const fnn_columns *x, int64_t blocks,
                                      const float *b, int64_t b_block, float *c, int64_t c_block,
                                      int accumulate);
    void (*transpose)(int64_t rows, const float *x, float *y); /* (rows <= 16, 16) -> (16, 16), zero-filled */

    /* windows: csrc/convolution.inc.c, csrc/winograd.inc.c, csrc/depthwise.inc.c, csrc/pooling.inc.c */
    void (*window_product)(int64_t rows, int64_t blocks, int64_t taps, int64_t K, const float *const *lines,
                           int64_t a_block, const float *b, int64_t b_block, float *c, int64_t c_block,
                           int accumulate);
    void (*pairs_product)(int64_t rows, int64_t blocks, int64_t examples, int64_t K, const float *a,
                          int64_t a_example, const int32_t *from, const float *b, int64_t b_example,
                          const int32_t *to, int64_t b_block, float *c, int64_t c_block);
    void (*gather_patches)(int64_t rows, int64_t position, int64_t window_rows, int64_t taps, int64_t channels,
                           const int32_t *starts, const int32_t *windows, const float *x, int64_t patch,
                           float *patches);
    void (*winograd_kernel)(int64_t rows, const float *kernel, int64_t tap, float *u, int64_t u_point);
    void (*winograd_input)(int64_t tiles, int64_t blocks, const float *const *lines, int64_t x_block, float *v,
                           int64_t v_point, int64_t v_block);
    void (*winograd_output)(int64_t tiles, const float *m, int64_t m_point, const float *bias, int accumulate,
                            float *const *lines, int64_t y_offset);
    void (*winograd_output_gradient)(int64_t tiles, const float *const *lines, int64_t dz_offset, float *d,
                                     int64_t d_point);
    void (*winograd_kernel_gradient)(int64_t rows, const float *u, int64_t u_point, float *kernel, int64_t tap);
    void (*winograd_prefetch)(int64_t tiles, const float *const *x_lines, int64_t x_blocks, int64_t x_block,
                              const float *const *dz_lines, int64_t dz_blocks, int64_t dz_block);
    void (*depthwise)(int64_t windows, int64_t taps, const int32_t *table, const float *w, const float *x,
                      float *y);
    void (*depthwise_pairs)(int64_t windows, int64_t taps, const int32_t *table, const float *x, const float *dz,
                            float *sums);
    void (*window_max[2])(int64_t windows, int64_t taps, const int32_t *table, const float *x, float *y,
                          void *found); /* with numbers of taps of 1 byte, of 4 */
    void (*window_max_backward[2])(int64_t positions, int64_t most, const int32_t *readers, const float *dy,
                                   const void *found, float *dx);
    void (*window_max_spread[2])(int64_t windows, int64_t taps, const int32_t *table, const float *dy,
                                 const void *found, float *dx);
    void (*window_sum)(int64_t windows, int64_t taps, const int32_t *table, const float *of_windows,
                       const float *of_taps, const float *x, float *y);

    /* vector loops */
    void (*add_bias)(int64_t rows, const float *bias, float *x);
    void (*add_rows)(int64_t rows, int accumulate, const float *x, float *sums);
    void (*add)(int64_t n, const float *x, float *y);
    void (*affine)(int64_t n, float scale, float offset, const float *x, float *y);
    void (*axpby)(int64_t n, float a, const float *x, float b, float *y); /* y = a x + b y */
    const fnn_activation_forward *activation; /* by number, as update, loss and metric are */
    const fnn_activation_backward *activation_backward;

    /* gradients and updates */
    void (*squares)(int64_t rows, const float *x, float *sums);
    int32_t (*magnitude)(int64_t n, const float *x);
    void (*regularize)(int64_t n, float l1, float l2, const float *w, float *g);
    void (*penalty)(int64_t rows, float l1, float l2, const float *w, float *sums);
    void (*clip)(int64_t n, float low, float high, float *x);
    void (*scale_columns)(int64_t rows, const float *factors, const float *x, float *y);
    void (*average)(int64_t n, float momentum, const float *w, float *average);
    const fnn_update *update;

    /* statistics */
    void (*summarize)(int64_t n, const float *x, fnn_summary *summary);
    void (*summarize_activations)(int64_t rows, int columns, float low, float high, const float *y,
                                  fnn_activation_summary *summary, int32_t *nonzero);

    /* pictures whose numbers lie as those of an array: csrc/augmentation.inc.c */
    void (*warp[2])(const fnn_warp *warp, const float *x, float *y); /* nearest, bilinear */

    /* noise: the words of a row's first 16 columns; rows of a block, from `row`, a multiple of 4, in the block that begins at `column` */
    void (*draw)(const fnn_noise *noise, int64_t row, uint32_t *words);
    void (*drop)(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, const float *x, float *y);
    void (*drop_marked)(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, const float *x,
                        float *y);
    void (*drop_gradient)(int64_t n, float scale, const float *dropped, float *g);
    void (*drop_columns)(int64_t rows, const float *factors, const float *x, float *y);
    void (*add_normal)(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, int64_t columns,
                       const float *x, float *y);
    void (*square)(int64_t n, const float *x, float *y);
    void (*deviation)(int64_t n, float ratio, const float *variance, float *y);
    void (*leaky_relu_expectation)(int64_t n, float slope, const float *mean, const float *deviation,
                                   float *y);

    /* normalization: over the batch, by blocks; over the features, by 16 rows */
    void (*batch_statistics)(int64_t rows, float epsilon, const float *x, float *statistics);
    void (*scale_rows)(int64_t rows, const float *pivot, const float *scale, const float *shift,
                       const float *x, float *y);
    void (*batch_sums)(int64_t rows, int accumulate, const float *pivot, const float *x, const float *dz,
                       float *sums);
    void (*batch_gradient)(int64_t rows, int accumulate, const float *pivot, const float *scale,
                           const float *shift, const float *slope, const float *x, const float *dz,
                           float *dx);
    void (*group_gradient)(int64_t rows, int accumulate, const float *pivot, const float *scale,
                           const float *shift, const float *slope, const float *x, const float *dz,
                           float *dx);
    void (*row_statistics)(int64_t rows, int64_t features, int64_t stride, float epsilon, const float *x,
                           float *statistics);
    void (*normalize_rows)(int64_t rows, int64_t features, int64_t stride, const float *gamma,
                           const float *beta, const float *statistics, const float *x, float *y);
    void (*normalize_rows_backward)(int64_t rows, int64_t features, int64_t stride, int accumulate,
                                    const float *gamma, const float *statistics, const float *x,
                                    const float *dz, float *dx);
    void (*row_sums)(int64_t rows, int accumulate, const float *statistics, const float *x, const float *dz,
                     float *sums);

    /* two tensors into one */
    void (*multiply)(int64_t n, const float *x, const float *y, float *z);
    void (*maximum)(int64_t n, const float *x, const float *y, float *z);
    void (*minimum)(int64_t n, const float *x, const float *y, float *z);
    void (*extremum_backward)(int64_t n, const float *x, const float *other, const float *z, const float *dz,
                              float *dx);

    /* row by row */
    void (*gather[FNN_N_DTYPES])(int64_t features, const void *x, float scale, float offset, int64_t stride,
                                 float *y);
    void (*scatter)(int64_t features, int64_t stride, const float *x, float *y);
    void (*softmax)(int64_t rows, int64_t features, int64_t stride, const float *z, float *y);
    void (*softmax_backward)(int64_t rows, int64_t features, int64_t stride, const float *y, const float *dy,
                             int accumulate, float *dz);
    const fnn_rows *loss;
    const fnn_rows *metric;
} fnn_kernels;

/* The best level this CPU can run, or the one named (NULL if it is unknown or cannot run here). */
const fnn_kernels *fnn_select(const char *name);
/* Names of the levels this build holds and this CPU runs, best first; NULL after the last. */
const char *const *fnn_levels(void);

#endif
