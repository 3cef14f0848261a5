// Matrix products with SIMT arithmetic: C = activation(A B + bias) + residual, batched, any layout.
//
// A is (m, k) or, transposed, (k, m) in memory; B (k, n) or (n, k); C (m, n) is overwritten. One
// block computes one tile of C; gemm_tile.cuh has the loop.
//
// Where k is split, each of gridDim.y parts leaves its sums in a workspace (parts, batch, m, n) of
// acc_t, and `combine` adds them up in order: without atomics, and with the same bits every time.
// Status: emulated.
#include "gemm_tile.cuh"

typedef Vector<scalar_t, 4> Quad;

// One operand as a block sees it: rows of A, or columns of B, from `first` on, of `size` in all, at
// k below `end`. With ALONG_K the rows lie `stride` apart in memory, and otherwise the k do.
// `vector`: four neighbours are aligned, and all inside or all outside.
struct Operand {
    const scalar_t* matrix;
    int first, size, stride, end;
    bool vector;

    template <int SIZE, Order ORDER>
    __device__ __forceinline__ void load(Tile<SIZE, ORDER>& tile, int start) const {
        tile.load([&](int q, Held& held) {
            const int row = first + tile.row(q, 0), k = start + tile.depth(q, 0);
            const bool along = ORDER == ALONG_K;
            const scalar_t* from =
                matrix + (along ? (long long)row * stride + k : (long long)k * stride + row);
            if (vector) {
                Quad four{};
                if (row < size && k < end) four = *reinterpret_cast<const Quad*>(from);
#pragma unroll
                for (int i = 0; i < 4; ++i) held[i] = widen(four.at[i]);
                return;
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const bool inside = along ? row < size && k + i < end : row + i < size && k < end;
                held[i] = inside ? widen(from[i]) : acc_t(0);
            }
        });
    }
};

template <Order ORDER_A, Order ORDER_B>
__device__ __forceinline__ void multiply(Sums& sums, const Operand& a, const Operand& b, int start,
                                         SharedA& shared_a, SharedB& shared_b) {
    Tile<BM, ORDER_A> next_a;
    Tile<BN, ORDER_B> next_b;
    multiply(
        sums, start, a.end, next_a, next_b, [&](auto& tile, int k) { a.load(tile, k); },
        [&](auto& tile, int k) { b.load(tile, k); }, shared_a, shared_b);
}

// grid: x covers the tiles of all matrices of the batch, y the parts of k, `share` long.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    gemm(OPTIONAL scalar_t* c, OPTIONAL acc_t* workspace, MAY_BE_EMPTY const scalar_t* a,
         MAY_BE_EMPTY const scalar_t* b, OPTIONAL const scalar_t* bias,
         OPTIONAL const scalar_t* residual, int m, int n, int k, long long a_step, long long b_step,
         bool a_transposed, bool b_transposed, bool a_vector, bool b_vector, bool c_vector,
         int activation, int share) {
    __shared__ __align__(16) SharedA shared_a;
    __shared__ __align__(16) SharedB shared_b;
    const int tiles_n = (n + BN - 1) / BN, tiles = (m + BM - 1) / BM * tiles_n;
    const int batch = blockIdx.x / tiles, tile = blockIdx.x % tiles;
    const int first_row = tile / tiles_n * BM, first_column = tile % tiles_n * BN;
    const int start = blockIdx.y * share, end = min(start + share, k);
    const Operand left{a + batch * a_step, first_row, m, a_transposed ? m : k, end, a_vector};
    const Operand right{b + batch * b_step, first_column, n, b_transposed ? k : n, end, b_vector};

    Sums sums = {};
    if (!a_transposed && !b_transposed)
        multiply<ALONG_K, ACROSS>(sums, left, right, start, shared_a, shared_b);
    else if (!a_transposed)
        multiply<ALONG_K, ALONG_K>(sums, left, right, start, shared_a, shared_b);
    else if (!b_transposed)
        multiply<ACROSS, ACROSS>(sums, left, right, start, shared_a, shared_b);
    else
        multiply<ACROSS, ALONG_K>(sums, left, right, start, shared_a, shared_b);

    const long long matrix = (long long)m * n, part = blockIdx.y * (gridDim.x / tiles) + batch;
#pragma unroll
    for (int r = 0; r < ROWS * 4; ++r) {
        const int i = first_row + row_of(r);
        if (i >= m) continue;
#pragma unroll
        for (int q = 0; q < COLUMNS; ++q) {
            const int j = first_column + column_of(q * 4);
            const long long to = (long long)i * n + j;
            if (workspace) {
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    if (j + e < n) workspace[part * matrix + to + e] = sums[r][q * 4 + e];
                continue;
            }
            Quad four;
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const bool inside = j + e < n;
                const acc_t shift = bias && inside ? widen(bias[j + e]) : acc_t(0);
                acc_t value = activated(sums[r][q * 4 + e] + shift, activation);
                if (residual && inside) value += widen(residual[batch * matrix + to + e]);
                four.at[e] = narrow(value);
            }
            if (c_vector) {
                if (j < n) *reinterpret_cast<Quad*>(c + batch * matrix + to) = four;
                continue;
            }
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (j + e < n) c[batch * matrix + to + e] = four.at[e];
        }
    }
}

// c = activation(sum of the parts + bias) + residual, with a thread for each element.
extern "C" __global__ void combine(scalar_t* c, const acc_t* workspace, OPTIONAL const scalar_t* bias,
                                   OPTIONAL const scalar_t* residual, int n, int parts,
                                   int activation, long long count) {
    for (long long i = grid_thread(); i < count; i += grid_threads()) {
        LongSum total;
        if (bias) total.add(widen(bias[i % n]));
        for (int p = 0; p < parts; ++p) total.add(workspace[p * count + i]);
        acc_t sum = activated(total.value(), activation);
        if (residual) sum += widen(residual[i]);
        c[i] = narrow(sum);
    }
}
