// Rows of a table by index, and rows added to a table.
//
// table, out: (rows, width); updates: (n, width); index: (n,) of int64 in [0, rows).
// Status: emulated.
#include "device.cuh"

// y[i] = table[index[i]], an element of T for each thread: of scalar_t, or of 16 bytes if `packed`.
template <class T>
__device__ __forceinline__ void gather(T* y, const T* table, const long long* index, long long n,
                                       long long width) {
    for (long long i = grid_thread(); i < n * width; i += grid_threads())
        y[i] = table[index[i / width] * width + i % width];
}

extern "C" __global__ void gather_rows(scalar_t* y, const scalar_t* table, const long long* index,
                                       long long n, long long width, bool packed) {
    if (packed)
        gather(reinterpret_cast<Pack*>(y), reinterpret_cast<const Pack*>(table), index, n,
               width / LANES);
    else
        gather(y, table, index, n, width);
}

// out[index[i]] += updates[i] for all i, without atomics. `sorted` are the indices in rising order,
// and `order` says where each stood before. The block of the first entry of a run of equal indices
// adds the run up: its rows of threads take entries in turn, and their sums are added in order, so
// that the bits are the same every time. Sums are in double, since a run may be long.
// grid: x the entries, y covers the columns; block: (columns, rows of threads), THREADS in all.
constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS)
    scatter_add(scalar_t* out, const long long* sorted, const long long* order,
                const scalar_t* updates, long long n, long long width) {
    __shared__ double sums[THREADS];
    const long long start = blockIdx.x, row = sorted[start];
    if (start > 0 && sorted[start - 1] == row) return;  // the whole block
    const int columns = blockDim.x, lanes = blockDim.y;
    const long long column = (long long)blockIdx.y * columns + threadIdx.x;
    double sum = 0;
    for (long long i = start + threadIdx.y; i < n && sorted[i] == row; i += lanes)
        if (column < width) sum += widen(updates[order[i] * width + column]);
    sums[threadIdx.y * columns + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= width) return;
    for (int lane = 1; lane < lanes; ++lane) {
        if (start + lane >= n || sorted[start + lane] != row) break;  // the run ends before
        sum += sums[lane * columns + threadIdx.x];
    }
    scalar_t* const to = out + row * width + column;
    *to = narrow(acc_t(widen(*to) + sum));
}
