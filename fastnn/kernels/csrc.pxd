"""csrc/fnn.h, declared for Cython."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "fnn.h" nogil:
    enum:
        FNN_BLOCK
        FNN_CHUNK
        FNN_GRANULE
        FNN_MAX_SLOTS
        FNN_STATISTICS
        FNN_ROW_STATISTICS
        FNN_RELU
        FNN_LEAKY_RELU
        FNN_FILL_CONSTANT
        FNN_FILL_NEAREST
        FNN_FILL_REFLECT
        FNN_FILL_WRAP

    ctypedef struct fnn_target:
        int64_t rows
        int64_t features
        int64_t stride
        const float *y_pred
        const float *y_true
        const int32_t *labels
        const float *weights
        const float *params
        float scale
        float *row_values
        float *d_y_pred
        float *probabilities

    ctypedef struct fnn_sparse:
        int64_t granules
        const int64_t *start
        const uint16_t *granule
        const uint16_t *column
        const float *value

    ctypedef struct fnn_columns:
        int32_t *start
        uint16_t *row
        float *value

    ctypedef struct fnn_noise:
        uint64_t key
        int64_t step
        uint32_t stream
        uint32_t threshold
        float scale
        int64_t row

    ctypedef struct fnn_warp:
        int64_t height
        int64_t width
        int64_t channels
        double of[2][3]
        int fill
        float fill_value

    ctypedef struct fnn_summary:
        double squares
        double largest
        double nonfinite

    ctypedef struct fnn_activation_summary:
        double count
        double mean
        double squares
        double zeros
        double saturated
        double nonfinite
        double saturated_units

    ctypedef void (*fnn_update)(int64_t n, const float *scalars, const float *gradient, float *w,
                                float *slot_0, float *slot_1, float *slot_2) noexcept nogil
    ctypedef void (*fnn_activation_forward)(int64_t n, const float *params, const float *z,
                                            float *y) noexcept nogil
    ctypedef void (*fnn_activation_backward)(int64_t n, const float *params, const float *z, const float *y,
                                             const float *dy, float *dz) noexcept nogil
    ctypedef void (*fnn_gather)(int64_t features, const void *x, float scale, float offset, int64_t stride,
                                float *y) noexcept nogil
    ctypedef void (*fnn_rows)(const fnn_target *t) noexcept nogil

    ctypedef void (*fnn_warp_function)(const fnn_warp *warp, const float *x, float *y) noexcept nogil
    ctypedef void (*fnn_window_max)(int64_t windows, int64_t taps, const int32_t *table, const float *x,
                                    float *y, void *found) noexcept nogil
    ctypedef void (*fnn_window_max_backward)(int64_t positions, int64_t most, const int32_t *readers,
                                             const float *dy, const void *found, float *dx) noexcept nogil
    ctypedef void (*fnn_window_max_spread)(int64_t windows, int64_t taps, const int32_t *table, const float *dy,
                                           const void *found, float *dx) noexcept nogil

    ctypedef struct fnn_kernels:
        const char *name
        void (*product)(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block,
                        const float *b, int64_t b_block, float *c, int64_t c_block,
                        int accumulate) noexcept nogil
        void (*product_transposed)(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block,
                                   int64_t a_line, const float *b, int64_t b_block, float *c, int64_t c_block,
                                   int accumulate) noexcept nogil
        void (*sparse_product)(int64_t rows, const int64_t *order, const fnn_sparse *x, int64_t blocks,
                               const float *b, int64_t b_block, float *c, int64_t c_block) noexcept nogil
        void (*sparse_columns)(int64_t rows, const int64_t *order, int64_t granule_0, int64_t granule_1,
                               int64_t columns, const fnn_sparse *x, int32_t first,
                               const fnn_columns *out) noexcept nogil
        void (*sparse_product_transposed)(int64_t i0, int64_t i1, const fnn_columns *x, int64_t blocks,
                                          const float *b, int64_t b_block, float *c, int64_t c_block,
                                          int accumulate) noexcept nogil
        void (*transpose)(int64_t rows, const float *x, float *y) noexcept nogil
        void (*window_product)(int64_t rows, int64_t blocks, int64_t taps, int64_t K,
                               const float *const *lines, int64_t a_block, const float *b,
                               int64_t b_block, float *c, int64_t c_block, int accumulate) noexcept nogil
        void (*pairs_product)(int64_t rows, int64_t blocks, int64_t examples, int64_t K, const float *a,
                              int64_t a_example, const int32_t *from_, const float *b, int64_t b_example,
                              const int32_t *to, int64_t b_block, float *c, int64_t c_block) noexcept nogil
        void (*gather_patches)(int64_t rows, int64_t position, int64_t window_rows, int64_t taps,
                               int64_t channels, const int32_t *starts, const int32_t *windows, const float *x,
                               int64_t patch, float *patches) noexcept nogil
        void (*winograd_kernel)(int64_t rows, const float *kernel, int64_t tap, float *u,
                                int64_t u_point) noexcept nogil
        void (*winograd_input)(int64_t tiles, int64_t blocks, const float *const *lines, int64_t x_block, float *v,
                               int64_t v_point, int64_t v_block) noexcept nogil
        void (*winograd_output)(int64_t tiles, const float *m, int64_t m_point, const float *bias, int accumulate,
                                float *const *lines, int64_t y_offset) noexcept nogil
        void (*winograd_output_gradient)(int64_t tiles, const float *const *lines, int64_t dz_offset, float *d,
                                         int64_t d_point) noexcept nogil
        void (*winograd_kernel_gradient)(int64_t rows, const float *u, int64_t u_point, float *kernel,
                                         int64_t tap) noexcept nogil
        void (*winograd_prefetch)(int64_t tiles, const float *const *x_lines, int64_t x_blocks, int64_t x_block,
                                  const float *const *dz_lines, int64_t dz_blocks, int64_t dz_block) noexcept nogil
        void (*depthwise)(int64_t windows, int64_t taps, const int32_t *table, const float *w, const float *x,
                          float *y) noexcept nogil
        void (*depthwise_pairs)(int64_t windows, int64_t taps, const int32_t *table, const float *x,
                                const float *dz, float *sums) noexcept nogil
        fnn_window_max *window_max
        fnn_window_max_backward *window_max_backward
        fnn_window_max_spread *window_max_spread
        void (*window_sum)(int64_t windows, int64_t taps, const int32_t *table, const float *of_windows,
                           const float *of_taps, const float *x, float *y) noexcept nogil
        void (*add_bias)(int64_t rows, const float *bias, float *x) noexcept nogil
        void (*add_rows)(int64_t rows, int accumulate, const float *x, float *sums) noexcept nogil
        void (*add)(int64_t n, const float *x, float *y) noexcept nogil
        void (*affine)(int64_t n, float scale, float offset, const float *x, float *y) noexcept nogil
        void (*squares)(int64_t rows, const float *x, float *sums) noexcept nogil
        int32_t (*magnitude)(int64_t n, const float *x) noexcept nogil
        void (*regularize)(int64_t n, float l1, float l2, const float *w, float *g) noexcept nogil
        void (*penalty)(int64_t rows, float l1, float l2, const float *w, float *sums) noexcept nogil
        void (*clip)(int64_t n, float low, float high, float *x) noexcept nogil
        void (*scale_columns)(int64_t rows, const float *factors, const float *x, float *y) noexcept nogil
        void (*average)(int64_t n, float momentum, const float *w, float *average) noexcept nogil
        void (*axpby)(int64_t n, float a, const float *x, float b, float *y) noexcept nogil
        fnn_activation_forward *activation
        fnn_activation_backward *activation_backward
        fnn_update *update
        void (*summarize)(int64_t n, const float *x, fnn_summary *summary) noexcept nogil
        void (*summarize_activations)(int64_t rows, int columns, float low, float high, const float *y,
                                      fnn_activation_summary *summary, int32_t *nonzero) noexcept nogil
        fnn_warp_function *warp
        void (*draw)(const fnn_noise *noise, int64_t row, uint32_t *words) noexcept nogil
        void (*drop)(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, const float *x,
                     float *y) noexcept nogil
        void (*drop_marked)(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, const float *x,
                            float *y) noexcept nogil
        void (*drop_gradient)(int64_t n, float scale, const float *dropped, float *g) noexcept nogil
        void (*drop_columns)(int64_t rows, const float *factors, const float *x, float *y) noexcept nogil
        void (*add_normal)(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, int64_t columns,
                           const float *x, float *y) noexcept nogil
        void (*square)(int64_t n, const float *x, float *y) noexcept nogil
        void (*deviation)(int64_t n, float ratio, const float *variance, float *y) noexcept nogil
        void (*leaky_relu_expectation)(int64_t n, float slope, const float *mean, const float *deviation,
                                       float *y) noexcept nogil
        void (*batch_statistics)(int64_t rows, float epsilon, const float *x, float *statistics) noexcept nogil
        void (*scale_rows)(int64_t rows, const float *pivot, const float *scale, const float *shift,
                           const float *x, float *y) noexcept nogil
        void (*batch_sums)(int64_t rows, int accumulate, const float *pivot, const float *x, const float *dz,
                           float *sums) noexcept nogil
        void (*batch_gradient)(int64_t rows, int accumulate, const float *pivot, const float *scale,
                               const float *shift, const float *slope, const float *x, const float *dz,
                               float *dx) noexcept nogil
        void (*group_gradient)(int64_t rows, int accumulate, const float *pivot, const float *scale,
                               const float *shift, const float *slope, const float *x, const float *dz,
                               float *dx) noexcept nogil
        void (*row_statistics)(int64_t rows, int64_t features, int64_t stride, float epsilon, const float *x,
                               float *statistics) noexcept nogil
        void (*normalize_rows)(int64_t rows, int64_t features, int64_t stride, const float *gamma,
                               const float *beta, const float *statistics, const float *x,
                               float *y) noexcept nogil
        void (*normalize_rows_backward)(int64_t rows, int64_t features, int64_t stride, int accumulate,
                                        const float *gamma, const float *statistics, const float *x,
                                        const float *dz, float *dx) noexcept nogil
        void (*row_sums)(int64_t rows, int accumulate, const float *statistics, const float *x, const float *dz,
                         float *sums) noexcept nogil
        void (*multiply)(int64_t n, const float *x, const float *y, float *z) noexcept nogil
        void (*maximum)(int64_t n, const float *x, const float *y, float *z) noexcept nogil
        void (*minimum)(int64_t n, const float *x, const float *y, float *z) noexcept nogil
        void (*extremum_backward)(int64_t n, const float *x, const float *other, const float *z, const float *dz,
                                  float *dx) noexcept nogil
        fnn_gather *gather
        void (*scatter)(int64_t features, int64_t stride, const float *x, float *y) noexcept nogil
        void (*softmax)(int64_t rows, int64_t features, int64_t stride, const float *z,
                        float *y) noexcept nogil
        void (*softmax_backward)(int64_t rows, int64_t features, int64_t stride, const float *y,
                                 const float *dy, int accumulate, float *dz) noexcept nogil
        fnn_rows *loss
        fnn_rows *metric

    const fnn_kernels *fnn_select(const char *name)
    const char *const *fnn_levels()
