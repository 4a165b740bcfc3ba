"""Pictures that are changed at random, each by itself: RandomFlip, RandomCrop, RandomRotation and their like.

Design
- They read and write pixels as they lie in an array, a row of the batch after the other; a member of the team takes
  whole pictures, as the convolution does that follows, so that none waits for another.
- What is drawn for a picture are the words of its row: column 0 the first number, column 1 the second
  (csrc/random.inc.c). So it depends on seed, stream, step and row, and nothing is kept from step to step.
- Flips and crops move whole pixels. A chain of them is one list of moves, composed for each picture, and done while
  its pixels are converted from the data set.
- Two resamplings in a row are not the same as one of their product: interpolated twice, a picture is smoother, and
  what came in from beyond the edges of the first is an edge for the second. So each has its own op, as in Keras.
- `scale` and `offset`, of a Rescaling that follows, are applied to a picture while it is in cache.
"""

from libc.math cimport M_PI, cos, sin
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport (
    FNN_BLOCK, FNN_FILL_CONSTANT, FNN_FILL_NEAREST, FNN_FILL_REFLECT, FNN_FILL_WRAP, fnn_noise, fnn_warp
)
from fastnn.kernels.op cimport SCRATCH, Op, Step, noise_of, parts, share, smaller
from fastnn.kernels.operands cimport GatherPixels, MovePixels, Tint, Warp

cdef enum:
    # Of a move, to be added up; 0 is a window in the middle.
    MIRROR_COLUMNS = 1
    MIRROR_ROWS = 2
    RANDOM_WINDOW = 4
    # Columns of the list of moves.
    KIND = 0
    KEY = 1
    STREAM = 2
    BEFORE = 3
    AFTER = 5
    MOVE = 7
    # Of `warp`
    TRANSLATION = 0
    ROTATION = 1
    ZOOM = 2
    ZOOM_ALIKE = 3
    # Of `tint`
    CONTRAST = 0
    BRIGHTNESS = 1

FLIPS = {
    "horizontal": MIRROR_COLUMNS, "vertical": MIRROR_ROWS, "horizontal_and_vertical": MIRROR_COLUMNS | MIRROR_ROWS,
}
WINDOWS = {"middle": 0, "random": RANDOM_WINDOW}
WARPS = {"translation": TRANSLATION, "rotation": ROTATION, "zoom": ZOOM, "zoom_alike": ZOOM_ALIKE}
FILLS = {
    "constant": FNN_FILL_CONSTANT, "nearest": FNN_FILL_NEAREST, "reflect": FNN_FILL_REFLECT, "wrap": FNN_FILL_WRAP,
}
TINTS = {"contrast": CONTRAST, "brightness": BRIGHTNESS}
# Channels of pictures that can be moved while they are gathered.
MOST_CHANNELS = SCRATCH

# Which pixel of a picture is read for one of the result: first + step * its number, along each axis.
cdef struct Places:
    int64_t first[2]
    int64_t step[2]
    int64_t extent[2]  # of the result


cdef inline double uniform(uint32_t word, double low, double high) noexcept nogil:
    return low + (high - low) * ((word + 0.5) / 4294967296.0)


cdef inline void finish_picture(const Step *step, int64_t numbers, int64_t row, float scale, float offset,
                                float *y) noexcept nogil:
    """y = scale * y + offset, and zeros to the end of its row"""
    cdef int64_t k
    if scale != 1.0 or offset != 0.0:
        step.k.affine(numbers, scale, offset, y, y)
    for k in range(numbers, row):
        y[k] = 0.0


cdef Places compose(const Step *step, const int64_t *moves, int64_t count, int64_t height, int64_t width,
                    int64_t row) noexcept nogil:
    """What comes of the moves of picture number `row`, one after another."""
    cdef Places places
    cdef fnn_noise noise
    cdef uint32_t words[FNN_BLOCK]
    cdef const int64_t *move = moves
    cdef int64_t start, m, axis
    places.first[0] = places.first[1] = 0
    places.step[0] = places.step[1] = 1
    places.extent[0], places.extent[1] = height, width
    for m in range(count):
        if move[KIND]:
            noise.key, noise.stream = <uint64_t> move[KEY], <uint32_t> move[STREAM]
            noise.step, noise.threshold, noise.scale, noise.row = step.number, 0, 0, step.row
            step.k.draw(&noise, row, words)
        for axis in range(2):
            if move[KIND] & (MIRROR_ROWS if axis == 0 else MIRROR_COLUMNS):
                if words[axis] < 0x80000000u:
                    places.first[axis] += places.step[axis] * (move[BEFORE + axis] - 1)
                    places.step[axis] = -places.step[axis]
                continue
            start = move[BEFORE + axis] - move[AFTER + axis]
            if move[KIND] & RANDOM_WINDOW:
                start = <int64_t> ((<uint64_t> words[axis] * <uint64_t> (start + 1)) >> 32)
            else:
                start //= 2
            places.first[axis] += places.step[axis] * start
            places.extent[axis] = move[AFTER + axis]
        move += MOVE
    return places


cdef inline void reverse(int64_t pixels, int64_t channels, const float *x, float *y) noexcept nogil:
    """y = x with its pixels the other way round"""
    cdef int64_t p, c
    for p in range(pixels):
        for c in range(channels):
            y[(pixels - 1 - p) * channels + c] = x[p * channels + c]


cdef void move_pixels(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Flips and crops."""
    cdef const MovePixels *o = <const MovePixels *> &op.operands
    cdef const int64_t *moves = <const int64_t *> o.t.moves  # IN (count, MOVE)
    cdef const float *x = <const float *> o.t.x          # IN pixels
    cdef float *y = <float *> o.t.y                      # OUT pixels
    cdef int64_t height = o.d.height, width = o.d.width, channels = o.d.channels, line, h, e0, e1, e
    cdef Places places
    cdef const float *source
    cdef float *to
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        places = compose(step, moves, o.d.count, height, width, e)
        line = places.extent[1] * channels
        to = y + e * o.d.row
        for h in range(places.extent[0]):
            source = x + e * o.d.row_of_x + (places.first[0] + places.step[0] * h) * width * channels
            if places.step[1] > 0:
                memcpy(to, source + places.first[1] * channels, line * sizeof(float))
            else:
                reverse(places.extent[1], channels, source + (places.first[1] - places.extent[1] + 1) * channels, to)
            to += line
        finish_picture(step, places.extent[0] * line, o.d.row, o.f.scale, o.f.offset, y + e * o.d.row)


cdef void gather_pixels(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The batch's pictures of a data set, moved, and converted to float32: y = scale * x + offset."""
    cdef const GatherPixels *o = <const GatherPixels *> &op.operands
    cdef const int64_t *moves = <const int64_t *> o.t.moves  # IN (count, MOVE), or NULL
    cdef float *y = <float *> o.t.y                      # OUT pixels
    cdef int64_t source = o.d.source, height = o.d.height, width = o.d.width, channels = o.d.channels, row = o.d.row
    cdef int64_t pixel_bytes = step.sources[source].item_bytes * channels, h, e0, e1, e
    cdef const char *data
    cdef Places places
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        data = step.sources[source].data + step.order[e] * step.sources[source].row_bytes
        if o.d.count == 0:
            step.k.gather[step.sources[source].dtype](height * width * channels, data, o.f.scale, o.f.offset, FNN_BLOCK,
                                                      y + e * row)
            continue
        places = compose(step, moves, o.d.count, height, width, e)
        for h in range(places.extent[0]):
            gather_line(op, step, data + (places.first[0] + places.step[0] * h) * width * pixel_bytes, &places,
                        y + e * row + h * places.extent[1] * channels)
        finish_picture(step, places.extent[0] * places.extent[1] * channels, row, 1.0, 0.0, y + e * row)


cdef inline void gather_line(const Op *op, const Step *step, const char *data, const Places *places,
                             float *y) noexcept nogil:
    """y = a line of a picture, converted in scratch: whole blocks are written, more than there is room for."""
    cdef const GatherPixels *o = <const GatherPixels *> &op.operands
    cdef int64_t source = o.d.source, channels = o.d.channels, together = SCRATCH // channels
    cdef int64_t pixel_bytes = step.sources[source].item_bytes * channels, done = 0, count, first
    while done < places.extent[1]:
        count = smaller(together, places.extent[1] - done)
        first = places.first[1] + places.step[1] * done
        if places.step[1] < 0:
            first -= count - 1
        step.k.gather[step.sources[source].dtype](count * channels, data + first * pixel_bytes, o.f.scale, o.f.offset,
                                                  FNN_BLOCK, step.scratch)
        if places.step[1] < 0:
            reverse(count, channels, step.scratch, y + done * channels)
        else:
            memcpy(y + done * channels, step.scratch, count * channels * sizeof(float))
        done += count


cdef void warp(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = x moved by fractions of its extents, turned by a fraction of a full turn, or zoomed by 1 + a number."""
    cdef const Warp *o = <const Warp *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN pixels
    cdef float *y = <float *> o.t.y                      # OUT pixels
    cdef int64_t numbers = o.d.height * o.d.width * o.d.channels, e0, e1, e
    cdef fnn_noise noise = noise_of(&o.d.noise, step, 0)
    cdef uint32_t words[FNN_BLOCK]
    cdef fnn_warp warp
    warp.height, warp.width, warp.channels = o.d.height, o.d.width, o.d.channels
    warp.fill, warp.fill_value = <int> o.d.fill, o.f.fill_value
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        step.k.draw(&noise, e, words)
        set_places(op, uniform(words[0], o.f.low_0, o.f.high_0), uniform(words[1], o.f.low_1, o.f.high_1), &warp)
        step.k.warp[o.d.bilinear](&warp, x + e * o.d.row_of_x, y + e * o.d.row)
        finish_picture(step, numbers, o.d.row, o.f.scale, o.f.offset, y + e * o.d.row)


cdef inline void set_places(const Op *op, double first, double second, fnn_warp *warp) noexcept nogil:
    """Where the pixels are read, of the numbers drawn."""
    cdef const Warp *o = <const Warp *> &op.operands
    cdef int64_t kind = o.d.kind
    cdef double middle_row = (warp.height - 1) / 2.0, middle_column = (warp.width - 1) / 2.0
    cdef double rows = 1.0, columns = 1.0, sine = 0.0, angle
    if kind == ROTATION:
        angle = 2.0 * M_PI * first
        rows = columns = cos(angle)
        sine = sin(angle)
    elif kind != TRANSLATION:
        rows = 1.0 + first
        columns = rows if kind == ZOOM_ALIKE else 1.0 + second
    warp.of[0][0], warp.of[0][1] = rows, sine
    warp.of[1][0], warp.of[1][1] = -sine, columns
    if kind == TRANSLATION:
        warp.of[0][2], warp.of[1][2] = -first * warp.height, -second * warp.width
    else:  # the middle stays where it is
        warp.of[0][2] = middle_row - rows * middle_row - sine * middle_column
        warp.of[1][2] = middle_column + sine * middle_row - columns * middle_column


cdef void tint(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = x + number * (highest - lowest), or (x - mean) * number + mean; within lowest and highest."""
    cdef const Tint *o = <const Tint *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN pixels
    cdef float *y = <float *> o.t.y                      # OUT pixels
    cdef int64_t pixels = o.d.height * o.d.width, channels = o.d.channels, e0, e1, e, c
    cdef fnn_noise noise = noise_of(&o.d.noise, step, 0)
    cdef uint32_t words[FNN_BLOCK]
    cdef double number
    cdef float *to
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        step.k.draw(&noise, e, words)
        number = uniform(words[0], o.f.low, o.f.high)
        to = y + e * o.d.row
        if o.d.kind == BRIGHTNESS:
            step.k.affine(pixels * channels, 1.0, <float> (number * (o.f.highest - o.f.lowest)),
                          x + e * o.d.row_of_x, to)
        else:
            for c in range(channels):
                change_contrast(pixels, channels, <float> number, x + e * o.d.row_of_x + c, to + c)
        step.k.clip(pixels * channels, o.f.lowest, o.f.highest, to)
        finish_picture(step, pixels * channels, o.d.row, o.f.scale, o.f.offset, to)


cdef inline void change_contrast(int64_t pixels, int64_t channels, float number, const float *x,
                                 float *y) noexcept nogil:
    """Of one channel; its sum is taken in float64, in order."""
    cdef double total = 0.0
    cdef float mean
    cdef int64_t p
    for p in range(pixels):
        total += x[p * channels]
    mean = <float> (total / pixels)
    for p in range(pixels):
        y[p * channels] = (x[p * channels] - mean) * number + mean


KERNELS = {
    "move_pixels": <size_t> &move_pixels,
    "gather_pixels": <size_t> &gather_pixels,
    "warp": <size_t> &warp,
    "tint": <size_t> &tint,
}
