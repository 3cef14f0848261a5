// Matrix products with SIMT arithmetic: C = activation(A B + bias), batched, any transposition.
//
// A is (m, k) or, transposed, (k, m) in memory; B (k, n) or (n, k); C (m, n) is overwritten. Each
// block computes a tile of C, walking along k in steps of BK: the steps' tiles of A and B go
// through registers into shared memory, one step ahead of the arithmetic, so that the loads from
// global memory hide behind it. In shared memory both tiles lie k by k, so that a thread reads the
// numbers of its rows and columns as vectors of four.
//
// A warp is 4 x 8 threads; a thread owns 4 x 4 numbers of C in ROWS x COLUMNS places, so a block of
// WARPS_M x WARPS_N warps owns (ROWS * WARPS_M * 16) x (COLUMNS * WARPS_N * 32) of them.
//
// Split along k: each of gridDim.y parts leaves its sums in a workspace (parts, batch, m, n) of
// acc_t, and `combine` adds them up in order: no atomics, the same bits every time.
// Status: emulated.
#include "activation.cuh"

#ifndef ROWS
#define ROWS 2
#define COLUMNS 2
#define WARPS_M 4
#define WARPS_N 2
#endif

constexpr int BM = ROWS * WARPS_M * 16, BN = COLUMNS * WARPS_N * 32, BK = 8;
constexpr int THREADS = WARPS_M * WARPS_N * WARP;
constexpr int PAD = 4;  // a tile that is stored across, four k at a time, meets each bank once
typedef Vector<scalar_t, 4> Quad;
typedef Vector<acc_t, 4> Four;

// The part of a matrix that a block needs for one step: SIZE rows (or columns) times BK.
// ALONG_K: neighbours in memory differ in k; else in the row or column.
template <int SIZE, bool ALONG_K> struct Tile {
    static constexpr int QUADS = SIZE * BK / 4;
    static constexpr int EACH = (QUADS + THREADS - 1) / THREADS;  // of a thread
    acc_t held[EACH][4];

    static __device__ __forceinline__ int place(int quad) {  // its row or column in the tile
        return ALONG_K ? quad / (BK / 4) : quad % (SIZE / 4) * 4;
    }
    static __device__ __forceinline__ int depth(int quad) {  // its k in the tile
        return ALONG_K ? quad % (BK / 4) * 4 : quad / (SIZE / 4);
    }

    // From global memory into registers: rows from `first` on, of `size`, and k from `start` to `end`.
    // `vector`: four neighbours are aligned, and all inside or all outside.
    __device__ __forceinline__ void load(const scalar_t* matrix, int first, int size, int stride,
                                         int start, int end, bool vector) {
#pragma unroll
        for (int q = 0; q < EACH; ++q) {
            const int quad = threadIdx.x + q * THREADS;
            const int row = first + place(quad), k = start + depth(quad);
            const scalar_t* from =
                matrix + (ALONG_K ? (long long)row * stride + k : (long long)k * stride + row);
            if (QUADS % THREADS && quad >= QUADS) continue;
            if (vector) {
                Quad four{};
                if (row < size && k < end) four = *reinterpret_cast<const Quad*>(from);
#pragma unroll
                for (int i = 0; i < 4; ++i) held[q][i] = widen(four.at[i]);
                continue;
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const bool inside = ALONG_K ? row < size && k + i < end : row + i < size && k < end;
                held[q][i] = inside ? widen(from[i]) : acc_t(0);
            }
        }
    }

    // From registers into shared memory, tile[k][row].
    __device__ __forceinline__ void store(acc_t (*tile)[SIZE + PAD]) const {
#pragma unroll
        for (int q = 0; q < EACH; ++q) {
            const int quad = threadIdx.x + q * THREADS;
            if (QUADS % THREADS && quad >= QUADS) continue;
#pragma unroll
            for (int i = 0; i < 4; ++i)
                tile[depth(quad) + (ALONG_K ? i : 0)][place(quad) + (ALONG_K ? 0 : i)] = held[q][i];
        }
    }
};

typedef acc_t SharedA[BK][BM + PAD];
typedef acc_t SharedB[BK][BN + PAD];
typedef acc_t Sums[ROWS * 4][COLUMNS * 4];

// sums += (rows of A) x (columns of B) over k from start to end.
template <bool A_ALONG_K, bool B_ALONG_K>
__device__ __forceinline__ void multiply(Sums& sums, const scalar_t* a, const scalar_t* b, int m,
                                         int n, int k, int first_row, int first_column, int row,
                                         int column, int start, int end, bool a_vector,
                                         bool b_vector, SharedA* shared_a, SharedB* shared_b) {
    Tile<BM, A_ALONG_K> next_a;
    Tile<BN, B_ALONG_K> next_b;
    const int a_stride = A_ALONG_K ? k : m, b_stride = B_ALONG_K ? k : n;
    next_a.load(a, first_row, m, a_stride, start, end, a_vector);
    next_b.load(b, first_column, n, b_stride, start, end, b_vector);
    next_a.store(shared_a[0]);
    next_b.store(shared_b[0]);
    __syncthreads();
    int stage = 0;
    for (int at = start; at < end; at += BK, stage ^= 1) {
        const bool more = at + BK < end;
        if (more) {
            next_a.load(a, first_row, m, a_stride, at + BK, end, a_vector);
            next_b.load(b, first_column, n, b_stride, at + BK, end, b_vector);
        }
#pragma unroll
        for (int i = 0; i < BK; ++i) {
            Four left[ROWS], right[COLUMNS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
                left[r] = *reinterpret_cast<Four*>(&shared_a[stage][i][row + r * (BM / ROWS)]);
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c)
                right[c] = *reinterpret_cast<Four*>(&shared_b[stage][i][column + c * (BN / COLUMNS)]);
#pragma unroll
            for (int r = 0; r < ROWS * 4; ++r)
#pragma unroll
                for (int c = 0; c < COLUMNS * 4; ++c)
                    sums[r][c] += left[r / 4].at[r % 4] * right[c / 4].at[c % 4];
        }
        // The other stage is free: all threads have left it since the barrier before this step.
        if (more) {
            next_a.store(shared_a[stage ^ 1]);
            next_b.store(shared_b[stage ^ 1]);
            __syncthreads();
        }
    }
}

// grid: x covers the tiles of all matrices of the batch, y the parts of k of `share` each.
extern "C" __global__ void __launch_bounds__(THREADS)
    gemm(OPTIONAL scalar_t* c, OPTIONAL acc_t* workspace, MAY_BE_EMPTY const scalar_t* a,
         MAY_BE_EMPTY const scalar_t* b, OPTIONAL const scalar_t* bias, int m, int n, int k, long long a_step, long long b_step,
         bool a_transposed, bool b_transposed, bool a_vector, bool b_vector, bool c_vector,
         int activation, int share) {
    __shared__ __align__(16) SharedA shared_a[2];
    __shared__ __align__(16) SharedB shared_b[2];
    const int tiles_n = (n + BN - 1) / BN, tiles = (m + BM - 1) / BM * tiles_n;
    const int batch = blockIdx.x / tiles, tile = blockIdx.x % tiles;
    const int first_row = tile / tiles_n * BM, first_column = tile % tiles_n * BN;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int row = warp / WARPS_N * 16 + lane / 8 * 4, column = warp % WARPS_N * 32 + lane % 8 * 4;
    const int start = blockIdx.y * share, end = min(start + share, k);
    a += batch * a_step;
    b += batch * b_step;

    Sums sums = {};
#define MULTIPLY(A_ALONG_K, B_ALONG_K)                                                            \
    multiply<A_ALONG_K, B_ALONG_K>(sums, a, b, m, n, k, first_row, first_column, row, column, start, \
                                   end, a_vector, b_vector, shared_a, shared_b)
    if (!a_transposed && !b_transposed) MULTIPLY(true, false);
    else if (!a_transposed) MULTIPLY(true, true);
    else if (!b_transposed) MULTIPLY(false, false);
    else MULTIPLY(false, true);

    const long long matrix = (long long)m * n, part = blockIdx.y * (gridDim.x / tiles) + batch;
#pragma unroll
    for (int r = 0; r < ROWS * 4; ++r) {
        const int i = first_row + row + r / 4 * (BM / ROWS) + r % 4;
        if (i >= m) continue;
#pragma unroll
        for (int q = 0; q < COLUMNS; ++q) {
            const int j = first_column + column + q * (BN / COLUMNS);
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
                const acc_t shift = bias && j + e < n ? widen(bias[j + e]) : acc_t(0);
                four.at[e] = narrow(activated(sums[r][q * 4 + e] + shift, activation));
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

// c = activation(sum of the parts + bias), one thread a number.
extern "C" __global__ void combine(scalar_t* c, const acc_t* workspace, OPTIONAL const scalar_t* bias,
                                   int n, int parts, int activation, long long numbers) {
    for (long long i = grid_thread(); i < numbers; i += grid_threads()) {
        acc_t sum = bias ? widen(bias[i % n]) : acc_t(0);
        for (int p = 0; p < parts; ++p) sum += workspace[p * numbers + i];
        c[i] = narrow(activated(sum, activation));
    }
}
