// Softmax and log-softmax over rows, forward and backward.
//
// x, y, g, dx: (rows, columns), contiguous. One block a row. A thread keeps the first KEPT of its
// elements in registers, so that rows of up to blockDim.x * KEPT columns are read once.
// y and dx are overwritten. A fully masked row, all -inf, gives zeros, and -inf in log_softmax.
#include "device.cuh"

#ifndef KEPT
#define KEPT 8
#endif

// The elements of one row that a thread owns: i = threadIdx.x, + blockDim.x, ...
struct Row {
    const scalar_t* x;
    int columns;
    acc_t kept[KEPT];

    __device__ __forceinline__ void load(const scalar_t* row, int n) {
        x = row;
        columns = n;
#pragma unroll
        for (int k = 0; k < KEPT; ++k) {
            const int i = threadIdx.x + k * blockDim.x;
            kept[k] = i < columns ? widen(x[i]) : -infinity();
        }
    }

    // f(i, x[i]) for each of them.
    template <class F> __device__ __forceinline__ void each(F f) {
#pragma unroll
        for (int k = 0; k < KEPT; ++k) {
            const int i = threadIdx.x + k * blockDim.x;
            if (i < columns) f(i, kept[k]);
        }
        for (int i = threadIdx.x + KEPT * blockDim.x; i < columns; i += blockDim.x) f(i, widen(x[i]));
    }
};

struct Statistics { acc_t peak, total; };  // total of exp(x - peak); peak is 0 for a masked row

__device__ __forceinline__ Statistics statistics(Row& row, acc_t* scratch) {
    acc_t peak = -infinity(), total = 0;
    row.each([&](int, acc_t x) { peak = Max::of(peak, x); });
    peak = block_reduce<Max>(peak, scratch);
    if (peak == -infinity()) peak = 0;
    row.each([&](int, acc_t x) { total += exp(x - peak); });
    total = block_reduce<Sum>(total, scratch);
    return Statistics{peak, total == acc_t(0) ? acc_t(1) : total};
}

extern "C" __global__ void softmax(scalar_t* y, const scalar_t* x, int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    Row row;
    row.load(x + start, columns);
    const Statistics s = statistics(row, scratch);
    const acc_t scale = 1 / s.total;
    row.each([&](int i, acc_t x) { y[start + i] = narrow(exp(x - s.peak) * scale); });
}

extern "C" __global__ void log_softmax(scalar_t* y, const scalar_t* x, int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    Row row;
    row.load(x + start, columns);
    const Statistics s = statistics(row, scratch);
    const acc_t log_total = log(s.total);
    row.each([&](int i, acc_t x) { y[start + i] = narrow(x - s.peak - log_total); });
}

// dx = y * (g - sum(g * y))
extern "C" __global__ void softmax_backward(scalar_t* dx, const scalar_t* g, const scalar_t* y,
                                            int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    acc_t along = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        along += widen(g[start + i]) * widen(y[start + i]);
    along = block_reduce<Sum>(along, scratch);
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        dx[start + i] = narrow(widen(y[start + i]) * (widen(g[start + i]) - along));
}

// dx = g - exp(y) * sum(g)
extern "C" __global__ void log_softmax_backward(scalar_t* dx, const scalar_t* g, const scalar_t* y,
                                                int columns) {
    __shared__ acc_t scratch[WARP];
    const long long start = (long long)blockIdx.x * columns;
    acc_t total = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) total += widen(g[start + i]);
    total = block_reduce<Sum>(total, scratch);
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        dx[start + i] = narrow(widen(g[start + i]) - exp(widen(y[start + i])) * total);
}
