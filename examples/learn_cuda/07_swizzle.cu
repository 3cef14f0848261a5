// Step 7: swizzle. Shared memory has 32 banks; a warp whose lanes want different words of one bank waits.
// Steps 5 and 6 store A's tile across: lane i writes row k = 4 (i % 2) + e, column i / 2, and rows are
// 64 words apart, two lanes in each bank. Exchange the columns of a row by an exclusive or with
// something that differs between the two rows, and read by the same rule: no padding, no conflict.
#include "device.cuh"

constexpr int TILE = 64, DEPTH = 8, EACH = 4;
typedef Vector<float, 4> Four;

__device__ const Four& four(const float* at) { return *reinterpret_cast<const Four*>(at); }

// Rows 4 to 7 have their halves of 32 numbers in turns of 16: fours stay together.
__device__ int place(int k, int column) { return column ^ (k / 4 * 16); }

extern "C" __global__ void matmul(float* c, const float* a, const float* b, int n) {
    __shared__ __align__(16) float left[2][DEPTH][TILE], right[2][DEPTH][TILE];
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE, i = threadIdx.x;
    const int own_row = i / 16 * EACH, own_column = i % 16 * EACH, k_of_b = i % 128 / 16;
    const auto load = [&](int start) {
        return i < 128 ? four(&a[(first_row + i / 2) * n + start + i % 2 * 4])
                       : four(&b[(start + k_of_b) * n + first_column + i % 16 * 4]);
    };
    const auto store = [&](int buffer, const Four& held) {
        const int k = i % 2 * 4;
        if (i < 128)
            for (int e = 0; e < 4; ++e) left[buffer][k + e][place(k, i / 2)] = held.at[e];
        else
            *reinterpret_cast<Four*>(&right[buffer][k_of_b][i % 16 * 4]) = held;
    };
    float sums[EACH][EACH] = {};
    store(0, load(0));
    __syncthreads();
    for (int start = 0, buffer = 0; start < n; start += DEPTH, buffer ^= 1) {
        const bool more = start + DEPTH < n;
        Four next;
        if (more) next = load(start + DEPTH);
        for (int k = 0; k < DEPTH; ++k) {
            const Four rows = four(&left[buffer][k][place(k, own_row)]);
            const Four columns = four(&right[buffer][k][own_column]);
            for (int r = 0; r < EACH; ++r)
                for (int q = 0; q < EACH; ++q) sums[r][q] += rows.at[r] * columns.at[q];
        }
        if (more) store(buffer ^ 1, next);
        __syncthreads();
    }
    for (int r = 0; r < EACH; ++r) {
        Four row;
        for (int q = 0; q < EACH; ++q) row.at[q] = sums[r][q];
        *reinterpret_cast<Four*>(&c[(first_row + own_row + r) * n + first_column + own_column]) = row;
    }
}
