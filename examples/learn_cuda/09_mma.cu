// Step 9: tensor cores. From here on A and B are float16, sums float32. One instruction of a warp,
// mma.sync, adds a product of 16 x 16 and 16 x 8 numbers. They lie in the registers of all lanes, by a
// fixed pattern ("fragments": ptx.cuh); here each lane gathers its pairs from shared memory by itself.
//
// The block is 4 warps; each computes 32 x 32 of the block's 64 x 64 numbers. B's tile is stored
// column by column, so that the two k of a pair lie together.
#include "ptx.cuh"

constexpr int TILE = 64, DEPTH = 16, THREADS = 128;

extern "C" __global__ void matmul(float* c, const __half* a, const __half* b, int n) {
    __shared__ __align__(16) unsigned short left[TILE][DEPTH], right[TILE][DEPTH];
    const unsigned short *bits_a = (const unsigned short*)a, *bits_b = (const unsigned short*)b;
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;
    const auto pair = [&](const unsigned short (*tile)[DEPTH], int line, int k) {
        return *(const unsigned*)&tile[line + lane / 4][k + lane % 4 * 2];
    };
    float sums[2][4][4] = {};
    for (int start = 0; start < n; start += DEPTH) {
        for (int i = threadIdx.x; i < TILE * DEPTH; i += THREADS) {
            left[i / DEPTH][i % DEPTH] = bits_a[(first_row + i / DEPTH) * n + start + i % DEPTH];
            right[i % TILE][i / TILE] = bits_b[(start + i / TILE) * n + first_column + i % TILE];
        }
        __syncthreads();
        for (int r = 0; r < 2; ++r) {
            const int row = warp_row + r * 16;
            const unsigned x[4] = {pair(left, row, 0), pair(left, row + 8, 0), pair(left, row, 8),
                                   pair(left, row + 8, 8)};
            for (int q = 0; q < 4; ++q) {
                const int column = warp_column + q * 8;
                const unsigned y[2] = {pair(right, column, 0), pair(right, column, 8)};
                float* s = sums[r][q];
                Multiply<__half>::add(s[0], s[1], s[2], s[3], x, y);
            }
        }
        __syncthreads();
    }
    for (int r = 0; r < 2; ++r)
        for (int q = 0; q < 4; ++q)
            for (int e = 0; e < 4; ++e) {
                const int row = first_row + warp_row + r * 16 + e / 2 * 8 + lane / 4;
                const int column = first_column + warp_column + q * 8 + lane % 4 * 2 + e % 2;
                c[row * n + column] = sums[r][q][e];
            }
}
