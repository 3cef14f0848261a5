// Step 11: a pipeline of asynchronous copies. cp.async brings 16 bytes from global to shared memory past
// the registers, while the thread goes on. A ring of three stages: two steps are on their way while the
// third is multiplied. A thread waits for its own copies; the barrier makes those of all visible, and
// tells that everybody has left the stage that the next copies will fill.
#include "ptx.cuh"

constexpr int TILE = 64, DEPTH = 64, THREADS = 128, CHUNKS = 8, STAGES = 3;

__device__ int place(int row, int chunk) { return (row * CHUNKS + (chunk ^ row % 8)) * 8; }

extern "C" __global__ void matmul(float* c, const __half* a, const __half* b, int n) {
    DYNAMIC_SHARED(__half, ring);
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE, steps = n / DEPTH;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;
    const auto stage_of = [&](int step) { return ring + step % STAGES * 2 * TILE * DEPTH; };
    const auto load = [&](int step) {
        __half *left = stage_of(step), *right = left + TILE * DEPTH;
        if (step < steps)
            for (int i = threadIdx.x; i < TILE * CHUNKS; i += THREADS) {
                const int row = i / CHUNKS, chunk = i % CHUNKS, start = step * DEPTH;
                copy_async_16(left + place(row, chunk),
                              &a[(first_row + row) * n + start + chunk * 8], true);
                copy_async_16(right + place(row, chunk),
                              &b[(start + row) * n + first_column + chunk * 8], true);
            }
        copy_async_commit();
    };
    float sums[2][4][4] = {};
    load(0);
    load(1);
    for (int step = 0; step < steps; ++step) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        load(step + STAGES - 1);
        const __half *left = stage_of(step), *right = left + TILE * DEPTH;
        for (int k = 0; k < DEPTH; k += 16) {
            unsigned x[2][4], y[2][4];
            for (int r = 0; r < 2; ++r) {
                load_matrices(x[r], left + place(warp_row + r * 16 + lane % 16, k / 8 + lane / 16));
                const int chunk = warp_column / 8 + r * 2 + lane / 16;
                load_matrices_transposed(y[r], right + place(k + lane % 16, chunk));
            }
            for (int r = 0; r < 2; ++r)
                for (int q = 0; q < 4; ++q) {
                    float* s = sums[r][q];
                    Multiply<__half>::add(s[0], s[1], s[2], s[3], x[r], y[q / 2] + q % 2 * 2);
                }
        }
    }
    for (int r = 0; r < 2; ++r)
        for (int q = 0; q < 4; ++q)
            for (int e = 0; e < 4; ++e) {
                const int row = first_row + warp_row + r * 16 + e / 2 * 8 + lane / 4;
                const int column = first_column + warp_column + q * 8 + lane % 4 * 2 + e % 2;
                c[row * n + column] = sums[r][q][e];
            }
}
