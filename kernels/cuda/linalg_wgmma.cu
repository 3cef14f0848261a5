// Matrix products on warpgroups: C = activation(A B + bias) + residual. Half types, sm_90a.
//
// A block is one warpgroup that loads and two that multiply. One thread of the first copies boxes
// of 64 x 64 elements with tensor copies (TMA) into a ring of stages. Each stage has an mbarrier
// `full`, at which its bytes arrive, and an mbarrier `empty`, at which the eight warps that
// multiply arrive when they have left it. A warpgroup multiplies BLOCKS x 64 rows by 128 columns
// with wgmma, straight from shared memory, and keeps one step in flight. The copies swizzle boxes
// by 128 bytes, and fill in zeros for rows and k beyond the matrices.
// Status: emulated.
#include "ptx.cuh"
#include "result.cuh"

#ifndef BLOCKS
#define BLOCKS 2  // of 64 rows, for each warpgroup that multiplies
#endif

constexpr int WARPGROUP = 128, CONSUMERS = 2, THREADS = (1 + CONSUMERS) * WARPGROUP;
constexpr int BM = CONSUMERS * BLOCKS * 64, BN = 128, BK = 64;
constexpr int BOX = 64 * BK * 2, STAGE = (BM + BN) / 64 * BOX;  // bytes
constexpr int STAGES = 4;

typedef float Sums[BLOCKS][64];

// Begins to copy the boxes of ROWS rows of A, or columns of B, from `first` on at k, into a stage.
template <int ROWS>
__device__ __forceinline__ void load(unsigned char* to, const TensorMap* map, Mbarrier* full, int first,
                                     int k, int matrix, bool across) {
    for (int box = 0; box < ROWS / 64; ++box) {
        const int row = first + box * 64;
        tensor_load(to + box * BOX, map, full, across ? row : k, across ? k : row, matrix);
    }
}

// The descriptor of an operand in the boxes from `tile` on, for the 16 k of step `step`.
template <bool ACROSS>
__device__ __forceinline__ unsigned long long described(const unsigned char* tile, int step) {
    return wgmma_descriptor(tile + step * (ACROSS ? 16 * 128 : 16 * 2), BOX, 8 * 128);
}

template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void multiply(Sums& sums, unsigned char* ring, Mbarrier* full,
                                         Mbarrier* empty, int steps) {
    const int consumer = threadIdx.x / WARPGROUP - 1;
    const bool speaks = threadIdx.x % WARP == 0;  // for its warp
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        const int at = step % STAGES;
        const unsigned char* stage = ring + at * STAGE;
        mbarrier_wait(&full[at], step / STAGES % 2);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < BK / 16; ++k) {
            const unsigned long long b = described<B_ACROSS>(stage + BM / 64 * BOX, k);
#pragma unroll
            for (int rows = 0; rows < BLOCKS; ++rows)
                wgmma_128<scalar_t, A_ACROSS, B_ACROSS>(
                    sums[rows], described<A_ACROSS>(stage + (consumer * BLOCKS + rows) * BOX, k), b);
        }
        wgmma_commit();
        wgmma_wait<1>();  // the step before is done, and its stage free
        if (speaks && step > 0) mbarrier_arrive(&empty[(step - 1) % STAGES]);
    }
    wgmma_wait<0>();
}

// grid: x covers the tiles of all matrices of the batch, y the parts of k, `share` long.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    wgmma_gemm(OPTIONAL scalar_t* c, OPTIONAL float* workspace, const __grid_constant__ TensorMap a,
               const __grid_constant__ TensorMap b, OPTIONAL const scalar_t* bias,
               OPTIONAL const scalar_t* residual, int m, int n, int k, bool a_batched, bool b_batched,
               bool a_across, bool b_across, bool pairs, int activation, int share) {
    DYNAMIC_SHARED(unsigned char, ring);
    Mbarrier* full = reinterpret_cast<Mbarrier*>(ring + STAGES * STAGE);
    Mbarrier* empty = full + STAGES;
    const Place place(m, n, BM, BN);
    const int start = blockIdx.y * share, end = min(start + share, k);
    const int steps = (end - start + BK - 1) / BK;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; ++i) {
            mbarrier_init(&full[i], 1);
            mbarrier_init(&empty[i], CONSUMERS * WARPGROUP / WARP);
        }
        mbarrier_fence_init();
    }
    __syncthreads();
    if (threadIdx.x < WARPGROUP) {
        registers_decrease<24>();
        if (threadIdx.x == 0)
            for (int step = 0; step < steps; ++step) {
                const int at = step % STAGES, from = start + step * BK;
                unsigned char* stage = ring + at * STAGE;
                mbarrier_wait(&empty[at], step / STAGES % 2 ^ 1);
                mbarrier_arrive(&full[at], STAGE);
                load<BM>(stage, &a, &full[at], place.first_row, from, a_batched ? place.batch : 0,
                         a_across);
                load<BN>(stage + BM / 64 * BOX, &b, &full[at], place.first_column, from,
                         b_batched ? place.batch : 0, b_across);
            }
        return;
    }
    registers_increase<240>();
    Sums sums = {};
    if (!a_across && b_across)
        multiply<false, true>(sums, ring, full, empty, steps);
    else if (!a_across)
        multiply<false, false>(sums, ring, full, empty, steps);
    else if (b_across)
        multiply<true, true>(sums, ring, full, empty, steps);
    else
        multiply<true, false>(sums, ring, full, empty, steps);

    const int tiles = (m + BM - 1) / BM * ((n + BN - 1) / BN), batches = gridDim.x / tiles;
    const long long part = (long long)blockIdx.y * batches + place.batch;
    const Result result{c, workspace, bias, residual, m, n, activation, pairs, place.batch, part};
    const int thread = threadIdx.x % WARPGROUP, consumer = threadIdx.x / WARPGROUP - 1;
    const int row = place.first_row + consumer * BLOCKS * 64 + thread / WARP * 16 + thread % WARP / 4;
#pragma unroll
    for (int block = 0; block < BLOCKS; ++block)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int i = row + block * 64 + half * 8;
            if (i >= m) continue;
#pragma unroll
            for (int q = 0; q < 16; ++q)
                result.store(i, place.first_column + q * 8 + thread % 4 * 2,
                             sums[block][q * 4 + half * 2], sums[block][q * 4 + half * 2 + 1]);
        }
}
