// Matrix products on tensor cores: C = activation(A B + bias) + residual, batched, any layout.
//
// float16 and bfloat16, and float32 rounded to tf32; sums are float32. Operands and parts of k are
// as in linalg.cu, whose `combine` adds up the parts; tensor_tile.cuh has the loop. Needs sm_80.
// Status: emulated.
#include "result.cuh"
#include "tensor_tile.cuh"

// One operand as a block sees it: rows of A, or columns of B, from `first` on, of `size` in all, at
// k below `end`. With ALONG_K the rows lie `stride` apart in memory, and otherwise the k do.
// `vector`: chunks of 16 bytes are aligned, and all inside or all outside.
struct Operand {
    const scalar_t* matrix;
    int first, size, stride, end;
    bool vector;

    template <int SIZE, Order ORDER>
    __device__ __forceinline__ void load(scalar_t* tile, int start) const {
        typedef Tile<SIZE, ORDER> T;
        const bool along = ORDER == ALONG_K;
#pragma unroll
        for (int q = 0; q < T::EACH; ++q) {
            const int i = threadIdx.x + q * THREADS, line = i / T::CHUNKS, chunk = i % T::CHUNKS;
            const int row = first + (along ? line : chunk * CHUNK);
            const int k = start + (along ? chunk * CHUNK : line);
            const scalar_t* from =
                matrix + (along ? (long long)row * stride + k : (long long)k * stride + row);
            scalar_t* to = tile + T::place(line, chunk);
            const bool inside = row < size && k < end;
            if (vector) {
                copy_async_16(to, inside ? from : matrix, inside);
                continue;
            }
#pragma unroll 1
            for (int e = 0; e < CHUNK; ++e) {
                const bool here = along ? row < size && k + e < end : row + e < size && k < end;
                to[e] = here ? from[e] : narrow(0);
            }
        }
    }
};

template <Order ORDER_A, Order ORDER_B>
__device__ __forceinline__ void multiply(Sums& sums, const Operand& a, const Operand& b, int start,
                                         scalar_t* shared) {
    multiply_pipelined<Tile<BM, ORDER_A>, Tile<BN, ORDER_B>>(
        sums, start, a.end, shared,
        [&](scalar_t* tile, int k) { a.load<BM, ORDER_A>(tile, k); },
        [&](scalar_t* tile, int k) { b.load<BN, ORDER_B>(tile, k); });
}

// grid: x covers the tiles of all matrices of the batch, y the parts of k, `share` long.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    gemm(OPTIONAL scalar_t* c, OPTIONAL float* workspace, MAY_BE_EMPTY const scalar_t* a,
         MAY_BE_EMPTY const scalar_t* b, OPTIONAL const scalar_t* bias,
         OPTIONAL const scalar_t* residual, int m, int n, int k, long long a_step, long long b_step,
         bool a_transposed, bool b_transposed, bool a_vector, bool b_vector, bool c_vector,
         int activation, int share) {
    DYNAMIC_SHARED(scalar_t, shared);
    const Place place(m, n, BM, BN);
    const int start = blockIdx.y * share, end = min(start + share, k);
    const Operand left{a + place.batch * a_step, place.first_row, m, a_transposed ? m : k, end, a_vector};
    const Operand right{b + place.batch * b_step, place.first_column, n, b_transposed ? k : n, end, b_vector};

    Sums sums = {};
    if (!a_transposed && !b_transposed)
        multiply<ALONG_K, ACROSS>(sums, left, right, start, shared);
    else if (!a_transposed)
        multiply<ALONG_K, ALONG_K>(sums, left, right, start, shared);
    else if (!b_transposed)
        multiply<ACROSS, ACROSS>(sums, left, right, start, shared);
    else
        multiply<ACROSS, ALONG_K>(sums, left, right, start, shared);

    const int tiles = (m + BM - 1) / BM * ((n + BN - 1) / BN), batches = gridDim.x / tiles;
    const long long part = (long long)blockIdx.y * batches + place.batch;
    const Result result{c, workspace, bias, residual, m, n, activation, c_vector, place.batch, part};
#pragma unroll
    for (int r = 0; r < ROWS * 2; ++r) {
        const int i = place.first_row + row_of(r);
        if (i >= m) continue;
#pragma unroll
        for (int q = 0; q < COLUMNS * 2; q += 2)
            result.store(i, place.first_column + column_of(q), sums[r][q], sums[r][q + 1]);
    }
}
