// Softmax and log-softmax over rows, forward and backward.
//
// x, y, g, dx: (rows, columns), contiguous; y and dx are overwritten. One block a row, which is read
// once if it is not too long (rows.cuh). A fully masked row, all -inf, gives zeros, and -inf in
// log_softmax.
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
