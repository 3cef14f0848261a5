// Step 12: warpgroups and the tensor memory accelerator (Hopper, sm_90a). wgmma multiplies 64 x 16 by
// 16 x 128 numbers straight from shared memory, for four warps at a time, and goes on by itself. One
// instruction of ONE thread (TMA) brings a whole box of a matrix, swizzled on the way, zeros beyond it.
//
// So threads divide the work: a producer that only loads, a warpgroup that only multiplies. Each stage
// of the ring has two mbarriers: `full` counts the bytes that have come, `empty` the warps that are
// done. A barrier's phases alternate between 0 and 1, and a wait names the one that must have ended.
#include "ptx.cuh"

constexpr int ROWS = 64, COLUMNS = 128, DEPTH = 64, STAGES = 2, BOX = 64 * 64 * 2;
constexpr int STAGE = 3 * BOX;  // bytes: one box of A, two of B

extern "C" __global__ void matmul(float* c, const __grid_constant__ TensorMap a,
                                  const __grid_constant__ TensorMap b, int n) {
    DYNAMIC_SHARED(unsigned char, ring);
    Mbarrier* full = reinterpret_cast<Mbarrier*>(ring + STAGES * STAGE);
    Mbarrier* empty = full + STAGES;
    const int first_row = blockIdx.y * ROWS, first_column = blockIdx.x * COLUMNS;
    const int steps = n / DEPTH, thread = threadIdx.x;
    if (thread == 0) {
        for (int i = 0; i < STAGES; ++i) {
            mbarrier_init(&full[i], 1);   // the producer, and its bytes
            mbarrier_init(&empty[i], 4);  // warps
        }
        mbarrier_fence_init();
    }
    __syncthreads();
    if (thread >= 128) {
        for (int step = 0; step < steps && thread == 128; ++step) {
            const int at = step % STAGES, start = step * DEPTH;
            unsigned char* stage = ring + at * STAGE;
            mbarrier_wait(&empty[at], step / STAGES % 2 ^ 1);  // at first there is nothing to wait for
            mbarrier_arrive(&full[at], STAGE);
            tensor_load(stage, &a, &full[at], start, first_row, 0);
            tensor_load(stage + BOX, &b, &full[at], first_column, start, 0);
            tensor_load(stage + 2 * BOX, &b, &full[at], first_column + 64, start, 0);
        }
        return;
    }
    float sums[64] = {};
    for (int step = 0; step < steps; ++step) {
        const int at = step % STAGES;
        const unsigned char* stage = ring + at * STAGE;
        mbarrier_wait(&full[at], step / STAGES % 2);
        wgmma_fence();
        for (int k = 0; k < DEPTH; k += 16)  // A lies along k, B across it
            wgmma_128<__half, false, true>(sums, wgmma_descriptor(stage + k * 2, BOX, 1024),
                                           wgmma_descriptor(stage + BOX + k * 128, BOX, 1024));
        wgmma_commit();
        wgmma_wait<0>();
        if (thread % 32 == 0) mbarrier_arrive(&empty[at]);
    }
    for (int i = 0; i < 64; ++i) {
        const int row = first_row + thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8;
        c[row * n + first_column + i / 4 * 8 + thread % 4 * 2 + i % 2] = sums[i];
    }
}
