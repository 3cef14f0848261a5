// Step 8: a tile for each warp. So far a warp covered 2 x 16 threads, which read 2 fours of A's rows and
// 16 of B's columns. With 4 x 8 threads it reads 4 and 8: fewer different words, so fewer wavefronts of
// shared memory. And each thread computes 8 x 4 numbers, half as many loads for each multiplication.
#include "device.cuh"

constexpr int TILE = 64, DEPTH = 8, THREADS = 128;
typedef Vector<float, 4> Four;

__device__ const Four& four(const float* at) { return *reinterpret_cast<const Four*>(at); }
__device__ int place(int k, int column) { return column ^ (k / 4 * 16); }

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    __shared__ __align__(16) float left[2][DEPTH][TILE], right[2][DEPTH][TILE];
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE, i = threadIdx.x;
    const int warp = i / 32, lane = i % 32;  // 2 x 2 warps of 32 x 32 numbers
    const int own_row = warp / 2 * 32 + lane / 8 * 4, own_column = warp % 2 * 32 + lane % 8 * 4;
    Four held_a, held_b;
    const auto load = [&](int start) {
        held_a = four(&a[(first_row + i / 2) * n + start + i % 2 * 4]);
        held_b = four(&b[(start + i / 16) * n + first_column + i % 16 * 4]);
    };
    const auto store = [&](int buffer) {
        const int k = i % 2 * 4;
        for (int e = 0; e < 4; ++e) left[buffer][k + e][place(k, i / 2)] = held_a.at[e];
        *reinterpret_cast<Four*>(&right[buffer][i / 16][i % 16 * 4]) = held_b;
    };
    float sums[8][4] = {};  // rows own_row to + 3, and 16 below them
    load(0);
    store(0);
    __syncthreads();
    for (int start = 0, buffer = 0; start < n; start += DEPTH, buffer ^= 1) {
        const bool more = start + DEPTH < n;
        if (more) load(start + DEPTH);
        for (int k = 0; k < DEPTH; ++k) {
            const Four upper = four(&left[buffer][k][place(k, own_row)]);
            const Four lower = four(&left[buffer][k][place(k, own_row + 16)]);
            const Four columns = four(&right[buffer][k][own_column]);
            for (int r = 0; r < 4; ++r)
                for (int q = 0; q < 4; ++q) {
                    sums[r][q] += upper.at[r] * columns.at[q];
                    sums[r + 4][q] += lower.at[r] * columns.at[q];
                }
        }
        if (more) store(buffer ^ 1);
        __syncthreads();
    }
    for (int r = 0; r < 8; ++r) {
        Four row;
        for (int q = 0; q < 4; ++q) row.at[q] = sums[r][q];
        const int at = first_row + own_row + r % 4 + r / 4 * 16;
        *reinterpret_cast<Four*>(&c[at * n + first_column + own_column]) = row;
    }
}
