// The main loop of a product of matrices, C += A B, for one tile of C: linalg.cu and conv.cu.
//
// The block walks along k in steps of BK. The tiles of A and B of a step go through registers into
// shared memory, one step ahead of the arithmetic, which hides the loads from global memory. In
// shared memory both lie k by k, so that a thread reads the elements of its rows and columns as
// vectors of four.
//
// A float to which many others are added one by one loses digits. So after RUN steps along k the
// sums of the run are added to those of the runs before, and begin again from zero.
//
// A warp is 4 x 8 threads; a thread owns 4 x 4 elements of C in ROWS x COLUMNS places, so a block
// of WARPS_M x WARPS_N warps owns BM x BN of them.
#pragma once
#include "activation.cuh"

#ifndef ROWS
#define ROWS 2
#define COLUMNS 2
#define WARPS_M 4
#define WARPS_N 2
#endif

constexpr int BM = ROWS * WARPS_M * 16, BN = COLUMNS * WARPS_N * 32, BK = 8;
constexpr int RUN = 64;                        // steps, of 512 k
constexpr bool IN_RUNS = sizeof(acc_t) == 4;  // doubles have digits to spare
constexpr int THREADS = WARPS_M * WARPS_N * WARP;
constexpr int MIN_BLOCKS = 256 / THREADS;  // on a multiprocessor; asking for more would spill
constexpr int PAD = 4;  // with it, storing a tile across, four k at a time, meets each bank once
typedef Vector<acc_t, 4> Four;
// A thread's elements of C, and how many elements it loads at a time.
constexpr int OWN_ROWS = ROWS * 4, OWN_COLUMNS = COLUMNS * 4, LOADED = 4;
typedef acc_t Held[LOADED];

// How the four elements that a thread loads at a time lie in a tile of SIZE rows (or columns) x BK.
enum Order {
    ALONG_K,  // in one row, at neighbouring k
    ACROSS,   // at one k, in neighbouring rows
    SPREAD    // at one k, a quarter of the tile apart: neighbouring threads have neighbouring rows
};

template <int SIZE, Order ORDER> struct Tile {
    static constexpr int EACH = SIZE * BK / 4 / THREADS;  // quads of a thread
    static_assert(EACH * THREADS * 4 == SIZE * BK, "each thread loads as much as the others");
    Held held[EACH];

    // The row and the k, within the tile, of element i of a thread's quad q.
    static __device__ __forceinline__ int row(int q, int i) {
        const int quad = threadIdx.x + q * THREADS;
        if (ORDER == ALONG_K) return quad / (BK / 4);
        if (ORDER == ACROSS) return quad % (SIZE / 4) * 4 + i;
        return quad % (SIZE / 4) + i * (SIZE / 4);
    }
    static __device__ __forceinline__ int depth(int q, int i) {
        const int quad = threadIdx.x + q * THREADS;
        return ORDER == ALONG_K ? quad % (BK / 4) * 4 + i : quad / (SIZE / 4);
    }

    // f(q, held) fills in the four elements of each quad of the thread.
    template <class F> __device__ __forceinline__ void load(F f) {
#pragma unroll
        for (int q = 0; q < EACH; ++q)
            f(q, held[q]);
    }

    __device__ __forceinline__ void store(acc_t (*tile)[SIZE + PAD]) const {
#pragma unroll
        for (int q = 0; q < EACH; ++q)
#pragma unroll
            for (int i = 0; i < 4; ++i) tile[depth(q, i)][row(q, i)] = held[q][i];
    }
};

typedef acc_t SharedA[2][BK][BM + PAD];
typedef acc_t SharedB[2][BK][BN + PAD];
typedef acc_t Sums[ROWS * 4][COLUMNS * 4];

// The first row and column, within the tile of C, of a thread's elements.
__device__ __forceinline__ int own_row() {
    return threadIdx.x / WARP / WARPS_N * 16 + threadIdx.x % WARP / 8 * 4;
}
__device__ __forceinline__ int own_column() {
    return threadIdx.x / WARP % WARPS_N * 32 + threadIdx.x % 8 * 4;
}

// The row and the column in the tile of element (r, c) of a thread's sums.
__device__ __forceinline__ int row_of(int r) { return own_row() + r / 4 * (BM / ROWS) + r % 4; }
__device__ __forceinline__ int column_of(int c) {
    return own_column() + c / 4 * (BN / COLUMNS) + c % 4;
}

// sums += A B for the k of one stage.
__device__ __forceinline__ void multiply_stage(Sums& sums, acc_t (*a)[BM + PAD],
                                               acc_t (*b)[BN + PAD]) {
#pragma unroll
    for (int k = 0; k < BK; ++k) {
        Four left[ROWS], right[COLUMNS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) left[r] = *reinterpret_cast<Four*>(&a[k][row_of(r * 4)]);
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c)
            right[c] = *reinterpret_cast<Four*>(&b[k][column_of(c * 4)]);
#pragma unroll
        for (int r = 0; r < ROWS * 4; ++r)
#pragma unroll
            for (int c = 0; c < COLUMNS * 4; ++c)
                sums[r][c] += left[r / 4].at[r % 4] * right[c / 4].at[c % 4];
    }
}

// sums = A B over k from start to end; load_a(tile, k) and load_b(tile, k) fill the registers of a
// step, with zeros outside the matrices and beyond `end`.
template <class TileA, class TileB, class LoadA, class LoadB>
__device__ __forceinline__ void multiply(Sums& sums, int start, int end, TileA& next_a,
                                         TileB& next_b, LoadA load_a, LoadB load_b,
                                         SharedA& shared_a, SharedB& shared_b) {
    Sums run = {};
    load_a(next_a, start);
    load_b(next_b, start);
    next_a.store(shared_a[0]);
    next_b.store(shared_b[0]);
    __syncthreads();
    int stage = 0, left = RUN;
    for (int at = start; at < end; at += BK, stage ^= 1) {
        const bool more = at + BK < end;
        if (more) {
            load_a(next_a, at + BK);
            load_b(next_b, at + BK);
        }
        multiply_stage(IN_RUNS ? run : sums, shared_a[stage], shared_b[stage]);
        if (IN_RUNS && (--left == 0 || !more)) {
            left = RUN;
#pragma unroll
            for (int r = 0; r < ROWS * 4; ++r)
#pragma unroll
                for (int c = 0; c < COLUMNS * 4; ++c) {
                    sums[r][c] += run[r][c];
                    run[r][c] = 0;
                }
        }
        // The other stage is free: all threads have left it since the barrier before this step.
        if (more) {
            next_a.store(shared_a[stage ^ 1]);
            next_b.store(shared_b[stage ^ 1]);
            __syncthreads();
        }
    }
}
