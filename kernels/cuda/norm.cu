// Layer, RMS, batch and group normalisation, forward and backward: xhat = (x - mean) * rstd.
//
// Layer and RMS norm work on rows (rows, columns). The rows of group norm are the groups of an
// image, and the weight changes with the channel. Batch norm works on the channels of (N, C, L).
// There is a block for each row, channel or plane. Statistics are acc_t, first the mean and then
// the mean of the centred squares; those of channels are added up in double. All outputs are
// overwritten; weight and bias may be null. Gradients of parameters are summed in a fixed order:
// either each block sums some rows into a workspace, which reduce.cu sums up, or one block sums
// each channel.
// Status: emulated.
#include "rows.cuh"

__device__ __forceinline__ acc_t at(const scalar_t* parameter, long long i, acc_t otherwise) {
    return parameter ? widen(parameter[i]) : otherwise;
}

struct Statistics { acc_t mean, rstd; };

__device__ __forceinline__ Statistics statistics(const Row& row, acc_t eps, acc_t* scratch) {
    LongSum total, squares;
    row.each([&](int, acc_t x) { total.add(x); });
    const acc_t mean = block_reduce<Sum>(total.value(), scratch) / row.columns;
    row.each([&](int, acc_t x) { squares.add((x - mean) * (x - mean)); });
    const acc_t var = block_reduce<Sum>(squares.value(), scratch) / row.columns;
    return Statistics{mean, 1 / sqrt(var + eps)};
}

// The channel of element i in a row of group norm: rows go through the groups of each image.
struct Channels {
    int groups, per_group, length;
    __device__ __forceinline__ int operator()(int i) const {
        return (int)(blockIdx.x % groups) * per_group + i / length;
    }
};

struct Columns {  // layer and RMS norm: each column has its own weight
    __device__ __forceinline__ int operator()(int i) const { return i; }
};

template <class Index>
__device__ __forceinline__ void normalise(scalar_t* y, acc_t* mean, acc_t* rstd, const scalar_t* x,
                                          const scalar_t* weight, const scalar_t* bias, acc_t eps,
                                          int columns, acc_t* scratch, Index index) {
    const long long start = (long long)blockIdx.x * columns;
    const Row row(x + start, columns);
    const Statistics m = statistics(row, eps, scratch);
    row.each([&](int i, acc_t x) {
        const acc_t xhat = (x - m.mean) * m.rstd;
        y[start + i] = narrow(xhat * at(weight, index(i), 1) + at(bias, index(i), 0));
    });
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = m.mean;
        rstd[blockIdx.x] = m.rstd;
    }
}

// dx = rstd * (h - mean(h) - xhat * mean(h * xhat)), h = g * weight
template <class Index>
__device__ __forceinline__ void normalise_backward(scalar_t* dx, const scalar_t* g,
                                                   const scalar_t* x, const scalar_t* weight,
                                                   const acc_t* mean, const acc_t* rstd,
                                                   int columns, acc_t* scratch, Index index) {
    const long long start = (long long)blockIdx.x * columns;
    const acc_t shift = mean[blockIdx.x], scale = rstd[blockIdx.x];
    const Row row(x + start, columns);
    LongSum sum, sum_along;
    row.each([&](int i, acc_t x) {
        const acc_t h = widen(g[start + i]) * at(weight, index(i), 1);
        sum.add(h);
        sum_along.add(h * (x - shift) * scale);
    });
    const acc_t plain = block_reduce<Sum>(sum.value(), scratch) / columns;
    const acc_t along = block_reduce<Sum>(sum_along.value(), scratch) / columns;
    row.each([&](int i, acc_t x) {
        const acc_t h = widen(g[start + i]) * at(weight, index(i), 1);
        dx[start + i] = narrow(scale * (h - plain - (x - shift) * scale * along));
    });
}

extern "C" __global__ void layer_norm(scalar_t* y, acc_t* mean, acc_t* rstd, const scalar_t* x,
                                      OPTIONAL const scalar_t* weight, OPTIONAL const scalar_t* bias,
                                      acc_t eps, int columns) {
    __shared__ acc_t scratch[WARP];
    normalise(y, mean, rstd, x, weight, bias, eps, columns, scratch, Columns{});
}

extern "C" __global__ void layer_norm_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                               OPTIONAL const scalar_t* weight, const acc_t* mean,
                                               const acc_t* rstd, int columns) {
    __shared__ acc_t scratch[WARP];
    normalise_backward(dx, g, x, weight, mean, rstd, columns, scratch, Columns{});
}

extern "C" __global__ void group_norm(scalar_t* y, acc_t* mean, acc_t* rstd, const scalar_t* x,
                                      OPTIONAL const scalar_t* weight, OPTIONAL const scalar_t* bias,
                                      acc_t eps, int groups, int per_group, int length) {
    __shared__ acc_t scratch[WARP];
    normalise(y, mean, rstd, x, weight, bias, eps, per_group * length, scratch,
              Channels{groups, per_group, length});
}

extern "C" __global__ void group_norm_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                               OPTIONAL const scalar_t* weight, const acc_t* mean,
                                               const acc_t* rstd, int groups, int per_group,
                                               int length) {
    __shared__ acc_t scratch[WARP];
    normalise_backward(dx, g, x, weight, mean, rstd, per_group * length, scratch,
                       Channels{groups, per_group, length});
}

// y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps)
extern "C" __global__ void rms_norm(scalar_t* y, acc_t* rstd, const scalar_t* x,
                                    OPTIONAL const scalar_t* weight, acc_t eps, int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    const Row row(x + start, columns);
    LongSum squares;
    row.each([&](int, acc_t x) { squares.add(x * x); });
    const acc_t scale = 1 / sqrt(block_reduce<Sum>(squares.value(), scratch) / columns + eps);
    row.each([&](int i, acc_t x) { y[start + i] = narrow(x * scale * at(weight, i, 1)); });
    if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

// dx = rstd * (h - xhat * mean(h * xhat)), h = g * weight
extern "C" __global__ void rms_norm_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                             OPTIONAL const scalar_t* weight, const acc_t* rstd,
                                             int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    const acc_t scale = rstd[blockIdx.x];
    const Row row(x + start, columns);
    LongSum sum;
    row.each([&](int i, acc_t x) {
        sum.add(widen(g[start + i]) * at(weight, i, 1) * x * scale);
    });
    const acc_t along = block_reduce<Sum>(sum.value(), scratch) / columns;
    row.each([&](int i, acc_t x) {
        const acc_t h = widen(g[start + i]) * at(weight, i, 1);
        dx[start + i] = narrow(scale * (h - x * scale * along));
    });
}

// The sums of g * xhat and of g over some rows, for each column. dweight and dbias, (parts, columns),
// may be null; mean is null for RMS norm. grid: x covers the columns, y the parts.
extern "C" __global__ void sum_over_rows(OPTIONAL acc_t* dweight, OPTIONAL acc_t* dbias,
                                         const scalar_t* g, const scalar_t* x,
                                         OPTIONAL const acc_t* mean, const acc_t* rstd,
                                         long long rows, int columns, long long share) {
    const long long column = grid_thread(), first = blockIdx.y * share;
    if (column >= columns) return;
    LongSum scaled, plain;
    for (long long r = first; r < min(first + share, rows); ++r) {
        const acc_t gradient = widen(g[r * columns + column]);
        const acc_t shift = mean ? mean[r] : acc_t(0);
        scaled.add(gradient * (widen(x[r * columns + column]) - shift) * rstd[r]);
        plain.add(gradient);
    }
    if (dweight) dweight[blockIdx.y * (long long)columns + column] = scaled.value();
    if (dbias) dbias[blockIdx.y * (long long)columns + column] = plain.value();
}

// f(n, place) for each element of one channel of (N, C, L) that this thread of the block owns.
template <class F> __device__ __forceinline__ void each_of_channel(long long channel, long long images,
                                                                   long long channels,
                                                                   long long length, F f) {
    for (long long i = threadIdx.x; i < images * length; i += blockDim.x) {
        const long long n = i / length;
        f(n, (n * channels + channel) * length + i % length);
    }
}

extern "C" __global__ void channel_moments(acc_t* mean, acc_t* var, const scalar_t* x,
                                           long long images, int channels, long long length) {
    __shared__ double scratch[WARP];
    const long long count = images * length;
    const Moments found = moments_of(
        count,
        [&](auto f) {
            each_of_channel(blockIdx.x, images, channels, length,
                            [&](long long, long long i) { f(widen(x[i])); });
        },
        [&](double sum) { return block_reduce<Sum>(sum, scratch); });
    if (threadIdx.x > 0) return;
    mean[blockIdx.x] = acc_t(found.mean);
    var[blockIdx.x] = acc_t(found.squares / count);
}

// A block for each plane (n, c).
extern "C" __global__ void batch_norm(scalar_t* y, const scalar_t* x, OPTIONAL const scalar_t* weight,
                                      OPTIONAL const scalar_t* bias, const acc_t* mean,
                                      const acc_t* var, acc_t eps, int channels, long long length) {
    const int c = blockIdx.x % channels;
    const long long start = blockIdx.x * length;
    const acc_t shift = mean[c], scale = 1 / sqrt(var[c] + eps);
    const acc_t w = at(weight, c, 1), b = at(bias, c, 0);
    for (long long i = threadIdx.x; i < length; i += blockDim.x)
        y[start + i] = narrow((widen(x[start + i]) - shift) * scale * w + b);
}

// The sums of g * xhat and of g, with a block for each channel. `spread` is the variance of batch
// norm (one for each channel, groups = 0) or the rstd of group norm (one for each group).
extern "C" __global__ void sum_over_channel(acc_t* scaled, acc_t* plain, const scalar_t* g,
                                            const scalar_t* x, const acc_t* mean,
                                            const acc_t* spread, acc_t eps, long long images,
                                            int channels, long long length, int groups) {
    __shared__ acc_t scratch[WARP];
    LongSum sum_with_x, sum_alone;
    each_of_channel(blockIdx.x, images, channels, length, [&](long long n, long long i) {
        const long long s = groups ? n * groups + blockIdx.x / (channels / groups) : blockIdx.x;
        const acc_t rstd = groups ? spread[s] : 1 / sqrt(spread[s] + eps);
        sum_with_x.add(widen(g[i]) * (widen(x[i]) - mean[s]) * rstd);
        sum_alone.add(widen(g[i]));
    });
    const acc_t with_x = block_reduce<Sum>(sum_with_x.value(), scratch);
    const acc_t alone = block_reduce<Sum>(sum_alone.value(), scratch);
    if (threadIdx.x == 0) {
        scaled[blockIdx.x] = with_x;
        plain[blockIdx.x] = alone;
    }
}

// dx = rstd * weight * (g - plain / count - xhat * scaled / count), a block for each plane.
extern "C" __global__ void batch_norm_backward(scalar_t* dx, const scalar_t* g, const scalar_t* x,
                                               OPTIONAL const scalar_t* weight, const acc_t* mean,
                                               const acc_t* var, const acc_t* scaled,
                                               const acc_t* plain, acc_t eps, long long images,
                                               int channels, long long length) {
    const int c = blockIdx.x % channels;
    const long long start = blockIdx.x * length;
    const acc_t shift = mean[c], scale = 1 / sqrt(var[c] + eps), count = images * length;
    const acc_t a = plain[c] / count, b = scaled[c] / count * scale, w = at(weight, c, 1) * scale;
    for (long long i = threadIdx.x; i < length; i += blockDim.x)
        dx[start + i] = narrow(w * (widen(g[start + i]) - a - (widen(x[start + i]) - shift) * b));
}
