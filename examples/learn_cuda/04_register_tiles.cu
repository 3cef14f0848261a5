// Step 4: tiles in registers. Shared memory is now the bottleneck: two loads for each multiplication.
// Let a thread compute 4 x 4 numbers of C: 4 numbers of A and 4 of B make 16 multiplications.
//
// The block's tile of C is 64 x 64, by 256 threads; k goes in steps of 8. A's tile is stored k by k, so
// that what a thread needs at one k lies together.
#include "device.cuh"

constexpr int TILE = 64, DEPTH = 8, EACH = 4, THREADS = 256;

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    __shared__ float left[DEPTH][TILE], right[DEPTH][TILE];
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const int own_row = threadIdx.x / 16 * EACH, own_column = threadIdx.x % 16 * EACH;
    float sums[EACH][EACH] = {};
    for (int start = 0; start < n; start += DEPTH) {
        for (int i = threadIdx.x; i < TILE * DEPTH; i += THREADS) {
            left[i % DEPTH][i / DEPTH] = a[(first_row + i / DEPTH) * n + start + i % DEPTH];
            right[i / TILE][i % TILE] = b[(start + i / TILE) * n + first_column + i % TILE];
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; ++k) {
            float rows[EACH], columns[EACH];
            for (int e = 0; e < EACH; ++e) {
                rows[e] = left[k][own_row + e];
                columns[e] = right[k][own_column + e];
            }
            for (int r = 0; r < EACH; ++r)
                for (int q = 0; q < EACH; ++q) sums[r][q] += rows[r] * columns[q];
        }
        __syncthreads();
    }
    for (int r = 0; r < EACH; ++r)
        for (int q = 0; q < EACH; ++q)
            c[(first_row + own_row + r) * n + first_column + own_column + q] = sums[r][q];
}
