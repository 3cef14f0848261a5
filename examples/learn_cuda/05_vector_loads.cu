// Step 5: 16 bytes at a time. One instruction loads four neighbouring floats, from global memory and
// from shared memory; the four numbers of a thread's rows (and columns) are such neighbours.
#include "device.cuh"

constexpr int TILE = 64, DEPTH = 8, EACH = 4;
typedef Vector<float, 4> Four;

__device__ const Four& four(const float* at) { return *reinterpret_cast<const Four*>(at); }

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    __shared__ __align__(16) float left[DEPTH][TILE], right[DEPTH][TILE];
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE, i = threadIdx.x;
    const int own_row = i / 16 * EACH, own_column = i % 16 * EACH;
    float sums[EACH][EACH] = {};
    for (int start = 0; start < n; start += DEPTH) {
        if (i < 128) {  // half of the threads load A, four k each; the others B, four columns each
            const Four held = four(&a[(first_row + i / 2) * n + start + i % 2 * 4]);
            for (int e = 0; e < 4; ++e) left[i % 2 * 4 + e][i / 2] = held.at[e];
        } else {
            const int k = (i - 128) / 16, column = i % 16 * 4;
            const Four held = four(&b[(start + k) * n + first_column + column]);
            *reinterpret_cast<Four*>(&right[k][column]) = held;
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; ++k) {
            const Four rows = four(&left[k][own_row]), columns = four(&right[k][own_column]);
            for (int r = 0; r < EACH; ++r)
                for (int q = 0; q < EACH; ++q) sums[r][q] += rows.at[r] * columns.at[q];
        }
        __syncthreads();
    }
    for (int r = 0; r < EACH; ++r) {
        Four row;
        for (int q = 0; q < EACH; ++q) row.at[q] = sums[r][q];
        *reinterpret_cast<Four*>(&c[(first_row + own_row + r) * n + first_column + own_column]) = row;
    }
}
