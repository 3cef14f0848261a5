// Products on tensor cores, C += A B, for one tile of C: linalg_tensor.cu and, through
// gathered.cuh, conv.cu.
//
// The block walks along k in steps of BK, 64 bytes. A warp reads fragments of 16 x 16 (16 x 8 of
// tf32) of a step's tiles with ldmatrix, and multiplies them with mma.sync; sums are float32. A
// warp owns ROWS x COLUMNS fragments of 16 x 8 elements of C. All products share this: `Tile`,
// which says how a tile lies in shared memory and is read, `multiply_stage`, and where a thread's
// sums stand.
//
// They differ in how tiles come to shared memory. In `multiply_pipelined`, for linalg_tensor.cu,
// asynchronous copies of 16 neighbouring bytes bring them into a ring of STAGES stages, up to three
// steps ahead of the arithmetic. Gathered elements have no such neighbours: see gathered.cuh.
//
// Swizzle: the 16-byte chunks of a row change places, by an exclusive or with the number of the
// row, so that the eight rows that an instruction reads at a time lie in different banks.
#pragma once
#include "activation.cuh"
#include "ptx.cuh"

#ifndef ROWS
#define ROWS 4
#define COLUMNS 4
#define WARPS_M 2
#define WARPS_N 4
#endif

constexpr int BM = WARPS_M * ROWS * 16, BN = WARPS_N * COLUMNS * 8;
constexpr int CHUNK = 16 / sizeof(scalar_t);     // elements in 16 bytes
constexpr int BK = 4 * CHUNK, DEPTH = 2 * CHUNK;  // of a step, of one mma
constexpr int STAGES = 4, STAGE = (BM + BN) * BK;
constexpr int THREADS = WARPS_M * WARPS_N * WARP;
constexpr int MIN_BLOCKS = 256 / THREADS;  // on a multiprocessor; asking for more would spill
constexpr bool TF32 = sizeof(scalar_t) == 4;

constexpr int OWN_ROWS = ROWS * 2, OWN_COLUMNS = COLUMNS * 2;  // a thread's elements of C
typedef float Sums[OWN_ROWS][OWN_COLUMNS];
typedef unsigned Fragment[4];

// How a tile of SIZE rows of A, or columns of B, lies in global and in shared memory.
enum Order {
    ALONG_K,  // neighbouring k are neighbours: SIZE rows of BK
    ACROSS    // neighbouring rows are: BK rows of SIZE
};

template <int SIZE, Order ORDER> struct Tile {
    static constexpr int CHUNKS = (ORDER == ALONG_K ? BK : SIZE) / CHUNK;  // of a row in memory
    static constexpr int EACH = SIZE * BK / CHUNK / THREADS;             // chunks of a thread
    static_assert(EACH * THREADS * CHUNK == SIZE * BK, "each thread loads as much as the others");

    // Where chunk `chunk` of row `row` in memory is.
    static __device__ __forceinline__ int place(int row, int chunk) {
        const int other = ORDER == ALONG_K ? row / 2 % 4 : TF32 ? row % 4 * 2 : row % 8;
        return (row * CHUNKS + (chunk ^ other)) * CHUNK;
    }

    // Reads the fragment of rows first to first + 15 at step `step` of the tile's k. ROWS_FIRST
    // says in which order registers follow each other: as mma.sync wants A (8 rows more, then more
    // k), or else B (more k, then 8 rows more).
    template <bool ROWS_FIRST>
    static __device__ __forceinline__ void read(Fragment& to, const scalar_t* tile, int first,
                                                int step) {
        const int lane = threadIdx.x % WARP;
        const int lower = lane / 8 % 2, upper = lane / 16;
        const int rows = ROWS_FIRST ? lower : upper, more = ROWS_FIRST ? upper : lower;
        if (ORDER == ALONG_K) {
            const int row = first + lane % 8 + rows * 8, chunk = step * 2 + more;
            load_matrices(to, tile + place(row, chunk));
        } else if (!TF32) {
            const int k = step * DEPTH + lane % 8 + more * 8;
            load_matrices_transposed(to, tile + place(k, first / CHUNK + rows));
        } else {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int k = step * DEPTH + lane % 4 + (ROWS_FIRST ? i / 2 : i % 2) * 4;
                const int row = first + lane / 4 + (ROWS_FIRST ? i % 2 : i / 2) * 8;
                const scalar_t* at = tile + place(k, row / CHUNK) + row % CHUNK;
                to[i] = *reinterpret_cast<const unsigned*>(at);
            }
        }
        if (TF32) {
#pragma unroll
            for (int i = 0; i < 4; ++i) to[i] = to_tf32(__uint_as_float(to[i]));
        }
    }
};

// The first row and column of the thread's warp in the tile of C.
__device__ __forceinline__ int warp_row() { return threadIdx.x / WARP / WARPS_N * ROWS * 16; }
__device__ __forceinline__ int warp_column() { return threadIdx.x / WARP % WARPS_N * COLUMNS * 8; }

// The row and the column in the tile of element (r, c) of a thread's sums; for even c, c + 1 is the
// next column.
__device__ __forceinline__ int row_of(int r) {
    return warp_row() + r / 2 * 16 + r % 2 * 8 + threadIdx.x % WARP / 4;
}
__device__ __forceinline__ int column_of(int c) {
    return warp_column() + c / 2 * 8 + threadIdx.x % 4 * 2 + c % 2;
}

// sums += A B for the k of one stage.
template <class TileA, class TileB>
__device__ __forceinline__ void multiply_stage(Sums& sums, const scalar_t* a, const scalar_t* b) {
#pragma unroll
    for (int step = 0; step < BK / DEPTH; ++step) {
        Fragment right[COLUMNS / 2];
#pragma unroll
        for (int c = 0; c < COLUMNS / 2; ++c)
            TileB::template read<false>(right[c], b, warp_column() + c * 16, step);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            Fragment left;
            TileA::template read<true>(left, a, warp_row() + r * 16, step);
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c)
                Multiply<scalar_t>::add(sums[2 * r][2 * c], sums[2 * r][2 * c + 1],
                                        sums[2 * r + 1][2 * c], sums[2 * r + 1][2 * c + 1], left,
                                        right[c / 2] + c % 2 * 2);
        }
    }
}

// sums += A B over k from start to end; load_a(tile, k) and load_b(tile, k) begin the copies of a
// step, with zeros outside the matrices and beyond `end`. shared: STAGES * STAGE elements.
template <class TileA, class TileB, class LoadA, class LoadB>
__device__ __forceinline__ void multiply_pipelined(Sums& sums, int start, int end, scalar_t* shared,
                                                   LoadA load_a, LoadB load_b) {
    const int steps = (end - start + BK - 1) / BK;
#pragma unroll 1
    for (int step = 1 - STAGES; step < steps; ++step) {  // the first ones only begin copies
        if (step >= 0) {
            copy_async_wait<STAGES - 2>();  // the copies of this step by this thread are here,
            __syncthreads();  // and those by all threads; all have left the stage of the step before
        }
        const int next = step + STAGES - 1;
        if (next < steps) {
            scalar_t* stage = shared + next % STAGES * STAGE;
            load_a(stage, start + next * BK);
            load_b(stage + BM * BK, start + next * BK);
        }
        copy_async_commit();
        if (step < 0) continue;
        const scalar_t* stage = shared + step % STAGES * STAGE;
        multiply_stage<TileA, TileB>(sums, stage, stage + BM * BK);
    }
}
