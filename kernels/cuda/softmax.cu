// Softmax and log-softmax over rows, and cross-entropy of rows of logits, forward and backward.
//
// x, y, g, dx: (rows, columns), contiguous; y and dx are overwritten. Each row has a block, and is
// read once if it is not too long (rows.cuh). A fully masked row, all -inf, gives zeros, and -inf
// in log_softmax.
//
// logits, dlogits: (rows, classes); labels: int64, one for each row; losses, g: (rows,). sums: (2,
// rows), the peak of each row and total = sum of exp(logits - peak), by which the backward pass
// divides. They are stored separately, because peak + log(total) would round the logarithm away
// where the peak is large. All outputs are overwritten. A row that is all -inf has the loss +inf,
// peak 0 and total 1.
// Status: emulated.
#include "rows.cuh"

struct Statistics { acc_t peak, total; };  // total of exp(x - peak); peak is 0 for a masked row

__device__ __forceinline__ Statistics statistics(const Row& row, acc_t* scratch) {
    acc_t peak = -infinity();
    LongSum sum;
    row.each([&](int, acc_t x) { peak = Max::of(peak, x); });
    peak = block_reduce<Max>(peak, scratch);
    if (peak == -infinity()) peak = 0;
    row.each([&](int, acc_t x) { sum.add(exp(x - peak)); });
    const acc_t total = block_reduce<Sum>(sum.value(), scratch);
    return Statistics{peak, total == acc_t(0) ? acc_t(1) : total};
}

extern "C" __global__ void softmax(scalar_t* y, const scalar_t* x, int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    const Row row(x + start, columns);
    const Statistics s = statistics(row, scratch);
    const acc_t scale = 1 / s.total;
    row.each([&](int i, acc_t x) { y[start + i] = narrow(exp(x - s.peak) * scale); });
}

extern "C" __global__ void log_softmax(scalar_t* y, const scalar_t* x, int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    const Row row(x + start, columns);
    const Statistics s = statistics(row, scratch);
    const acc_t log_total = log(s.total);
    row.each([&](int i, acc_t x) { y[start + i] = narrow(x - s.peak - log_total); });
}

// dx = y * (g - sum(g * y))
extern "C" __global__ void softmax_backward(scalar_t* dx, const scalar_t* g, const scalar_t* y,
                                            int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    const Row row(y + start, columns);
    LongSum sum;
    row.each([&](int i, acc_t y) { sum.add(widen(g[start + i]) * y); });
    const acc_t along = block_reduce<Sum>(sum.value(), scratch);
    row.each([&](int i, acc_t y) { dx[start + i] = narrow(y * (widen(g[start + i]) - along)); });
}

// dx = g - exp(y) * sum(g)
extern "C" __global__ void log_softmax_backward(scalar_t* dx, const scalar_t* g, const scalar_t* y,
                                                int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    const Row row(g + start, columns);
    LongSum sum;
    row.each([&](int, acc_t g) { sum.add(g); });
    const acc_t total = block_reduce<Sum>(sum.value(), scratch);
    row.each([&](int i, acc_t g) { dx[start + i] = narrow(g - exp(widen(y[start + i])) * total); });
}

struct Running { acc_t peak, total; };  // total = sum of exp(x - peak)

__device__ __forceinline__ Running merged(Running a, Running b) {
    const acc_t peak = Max::of(a.peak, b.peak);
    if (peak == -infinity()) return Running{peak, acc_t(0)};
    return Running{peak, a.total * exp(a.peak - peak) + b.total * exp(b.peak - peak)};
}

// The running peak and total of one thread, whose LongSum keeps its digits over many elements.
struct LongRunning {
    acc_t peak = -infinity();
    LongSum total;

    __device__ __forceinline__ void add(acc_t x) {
        const acc_t before = peak;
        peak = Max::of(x, peak);
        if (peak == -infinity()) return;
        if (peak != before) total.scale(exp(before - peak));
        total.add(exp(x - peak));
    }
    __device__ __forceinline__ Running value() const { return Running{peak, total.value()}; }
};

__device__ __forceinline__ Running over_warp(Running mine) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) {
        const Running other{__shfl_xor_sync(FULL_WARP, mine.peak, step),
                            __shfl_xor_sync(FULL_WARP, mine.total, step)};
        mine = merged(mine, other);
    }
    return mine;
}

// A block for each row. The maximum and the sum of exponentials are found in one pass: each thread
// keeps a running maximum and rescales its sum when that grows, and then the threads merge theirs
// in pairs (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax").
extern "C" __global__ void cross_entropy(scalar_t* losses, acc_t* sums, const scalar_t* logits,
                                         const long long* labels, int classes) {
    __shared__ acc_t peaks[WARP], totals[WARP];
    const scalar_t* row = logits + (long long)blockIdx.x * classes;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    LongRunning found;
    for (int i = threadIdx.x; i < classes; i += blockDim.x) found.add(widen(row[i]));
    Running mine = over_warp(found.value());
    if (warps > 1) {
        if (lane == 0) {
            peaks[warp] = mine.peak;
            totals[warp] = mine.total;
        }
        __syncthreads();
        mine = Running{-infinity(), acc_t(0)};
        if (lane < warps) mine = Running{peaks[lane], totals[lane]};
        mine = over_warp(mine);
    }
    if (threadIdx.x == 0) {
        const acc_t peak = mine.peak == -infinity() ? acc_t(0) : mine.peak;
        const acc_t total = mine.total == acc_t(0) ? acc_t(1) : mine.total;
        const acc_t log_total = log(total);
        losses[blockIdx.x] = narrow(log_total - (widen(row[labels[blockIdx.x]]) - peak));
        sums[blockIdx.x] = peak;
        sums[(long long)gridDim.x + blockIdx.x] = total;
    }
}

// dlogits = g / total * (exp(logits - peak) - total * one_hot(label)), with a block for each row.
extern "C" __global__ void cross_entropy_backward(scalar_t* dlogits, const scalar_t* g,
                                                  const scalar_t* logits, const long long* labels,
                                                  const acc_t* sums, int classes) {
    const long long row = blockIdx.x, start = row * classes;
    const acc_t peak = sums[row], total = sums[gridDim.x + row];
    const acc_t scale = widen(g[row]) / total;
    const int label = (int)labels[row];
    for (int i = threadIdx.x; i < classes; i += blockDim.x) {
        const acc_t e = exp(widen(logits[start + i]) - peak);
        dlogits[start + i] = narrow(scale * (i == label ? e - total : e));
    }
}
