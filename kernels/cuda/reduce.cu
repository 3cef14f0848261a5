// Sums, sums of squares and moments over the middle axis of three: (A, R, B) -> (A, B).
//
// Neighbouring threads read neighbouring elements: a block adds up a row, or a part of one
// (`..._rows`, if B = 1), or else each thread goes down a column, or a part of one (`..._columns`).
// A long axis with few sums is cut into gridDim.y parts of `share` elements. The launcher has their
// results (A, parts, B) summed or merged in turn, so that the bits are the same every time. Outputs
// are overwritten. Squares and moments are in double.
// Status: emulated.
#include "device.cuh"

// The part of a row that is the block's. grid: x the rows, y the parts.
struct RowPart {
    const scalar_t* row;
    long long first, end, result;

    __device__ __forceinline__ RowPart(const scalar_t* x, long long length, long long share)
        : row(x + blockIdx.x * length), first(blockIdx.y * share), end(min(first + share, length)),
          result((long long)blockIdx.x * gridDim.y + blockIdx.y) {}

    // f(x) for each element of this thread.
    template <class F> __device__ __forceinline__ void each(F f) const {
        for (long long i = first + threadIdx.x; i < end; i += blockDim.x) f(widen(row[i]));
    }
};

// The part of a column that is the thread's. grid: x covers the A * B columns, y the parts.
struct ColumnPart {
    const scalar_t* column;
    long long first, end, width, result;

    __device__ __forceinline__ ColumnPart(const scalar_t* x, long long sum, long long length,
                                          long long columns, long long share)
        : column(x + sum / columns * length * columns + sum % columns), first(blockIdx.y * share),
          end(min(first + share, length)), width(columns),
          result((sum / columns * gridDim.y + blockIdx.y) * columns + sum % columns) {}

    template <class F> __device__ __forceinline__ void each(F f) const {
        for (long long i = first; i < end; ++i) f(widen(column[i * width]));
    }
};

// Stores a sum in y, or in the workspace if it is null: sums of parts, which are added up later.
__device__ __forceinline__ void store(scalar_t* y, acc_t* workspace, long long at, acc_t sum) {
    if (y)
        y[at] = narrow(sum);
    else
        workspace[at] = sum;
}

extern "C" __global__ void sum_rows(OPTIONAL scalar_t* y, OPTIONAL acc_t* workspace,
                                    const scalar_t* x, long long length, long long share) {
    __shared__ acc_t scratch[WARP];
    const RowPart part(x, length, share);
    LongSum sum;
    part.each([&](acc_t x) { sum.add(x); });
    const acc_t total = block_reduce<Sum>(sum.value(), scratch);
    if (threadIdx.x == 0) store(y, workspace, part.result, total);
}

extern "C" __global__ void sum_columns(OPTIONAL scalar_t* y, OPTIONAL acc_t* workspace,
                                       const scalar_t* x, long long sums, long long length,
                                       long long width, long long share) {
    if (grid_thread() >= sums) return;
    const ColumnPart part(x, grid_thread(), length, width, share);
    LongSum sum;
    part.each([&](acc_t x) { sum.add(x); });
    store(y, workspace, part.result, sum.value());
}

// In double, because squares of float32 do not over- or underflow there.
extern "C" __global__ void sum_squares_rows(double* y, const scalar_t* x, long long length,
                                            long long share) {
    __shared__ double scratch[WARP];
    const RowPart part(x, length, share);
    double sum = 0;
    part.each([&](double x) { sum += x * x; });
    const double total = block_reduce<Sum>(sum, scratch);
    if (threadIdx.x == 0) y[part.result] = total;
}

extern "C" __global__ void sum_squares_columns(double* y, const scalar_t* x, long long sums,
                                               long long length, long long width,
                                               long long share) {
    if (grid_thread() >= sums) return;
    const ColumnPart part(x, grid_thread(), length, width, share);
    double sum = 0;
    part.each([&](double x) { sum += x * x; });
    y[part.result] = sum;
}

// The mean of a part, and the sum of the squared deviations from it, for each part.
extern "C" __global__ void moments_rows(double* mean, double* squares, const scalar_t* x,
                                        long long length, long long share) {
    __shared__ double scratch[WARP];
    const RowPart part(x, length, share);
    const Moments found = moments_of(
        part.end - part.first, [&](auto f) { part.each(f); },
        [&](double sum) { return block_reduce<Sum>(sum, scratch); });
    if (threadIdx.x > 0) return;
    mean[part.result] = found.mean;
    squares[part.result] = found.squares;
}

extern "C" __global__ void moments_columns(double* mean, double* squares, const scalar_t* x,
                                           long long sums, long long length, long long width,
                                           long long share) {
    if (grid_thread() >= sums) return;
    const ColumnPart part(x, grid_thread(), length, width, share);
    const Moments found = moments_of(
        part.end - part.first, [&](auto f) { part.each(f); }, [](double sum) { return sum; });
    mean[part.result] = found.mean;
    squares[part.result] = found.squares;
}

// Merges the moments of `fan` parts at a time (Chan et al. 1979), with a thread for each result:
// (A, parts, B) -> (A, parts / fan, B). A part has `share` elements, the last one the rest of
// `length`.
extern "C" __global__ void merge_moments(double* mean, double* squares, const double* means,
                                         const double* spreads, long long results, long long parts,
                                         long long width, long long fan, long long share,
                                         long long length) {
    const long long result = grid_thread(), merged = (parts + fan - 1) / fan;
    if (result >= results) return;
    const long long a = result / width / merged, first = result / width % merged * fan;
    const long long end = min(first + fan, parts), column = a * parts * width + result % width;
    const auto over_parts = [&](auto f) {
        double sum = 0;
        for (long long p = first; p < end; ++p)
            sum += f(column + p * width, double(min(share, length - p * share)));
        return sum;
    };
    const double count = double(min(end * share, length) - first * share);
    double center = over_parts([&](long long i, double n) { return n * means[i]; }) / count;
    center += over_parts([&](long long i, double n) { return n * (means[i] - center); }) / count;
    mean[result] = center;
    squares[result] = over_parts([&](long long i, double n) {
        return spreads[i] + n * (means[i] - center) * (means[i] - center);
    });
}
