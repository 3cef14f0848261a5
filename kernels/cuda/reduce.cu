// Sums over the middle axis of an array with three, (A, R, B) -> (A, B).
//
// y is overwritten. Neighbouring threads read neighbouring numbers: where B = 1 a warp adds up one
// row (a block, for long ones), else each thread goes down a column. A long axis with few sums is
// cut into `parts` that are added up by different blocks into a workspace (A, parts, B) of acc_t,
// which `sum_parts` then sums in order: the same bits every time.
// Status: emulated.
#include "device.cuh"

// One block a row of R numbers: B = 1.
extern "C" __global__ void sum_rows(scalar_t* y, const scalar_t* x, long long length) {
    __shared__ acc_t scratch[WARP];
    const scalar_t* row = x + blockIdx.x * length;
    LongSum sum;
    for (long long i = threadIdx.x; i < length; i += blockDim.x) sum.add(widen(row[i]));
    const acc_t total = block_reduce<Sum>(sum.value(), scratch);
    if (threadIdx.x == 0) y[blockIdx.x] = narrow(total);
}

// One thread a sum: y[a, b] over all of R, or of its part into the workspace.
// grid: x covers the A * B sums, y the parts.
template <class Out, class In, class Convert>
__device__ __forceinline__ void sum_columns(Out* y, const In* x, long long sums, long long length,
                                            long long width, long long share, Convert convert) {
    const long long sum = grid_thread();
    if (sum >= sums) return;
    const long long a = sum / width, b = sum % width, first = blockIdx.y * share;
    const long long end = min(first + share, length);
    const In* column = x + a * length * width + b;
    LongSum total;
    for (long long r = first; r < end; ++r) total.add(widen(column[r * width]));
    y[(a * gridDim.y + blockIdx.y) * width + b] = convert(total.value());
}

extern "C" __global__ void sum_middle(scalar_t* y, const scalar_t* x, long long sums,
                                      long long length, long long width) {
    sum_columns(y, x, sums, length, width, length, [](acc_t total) { return narrow(total); });
}

extern "C" __global__ void sum_some(acc_t* workspace, const scalar_t* x, long long sums,
                                    long long length, long long width, long long share) {
    sum_columns(workspace, x, sums, length, width, share, [](acc_t total) { return total; });
}

extern "C" __global__ void sum_parts(scalar_t* y, const acc_t* workspace, long long sums,
                                     long long parts, long long width) {
    sum_columns(y, workspace, sums, parts, width, parts, [](acc_t total) { return narrow(total); });
}
