// Step 10: ldmatrix. One instruction loads four 8 x 8 matrices, each lane naming one row of 16 bytes,
// and deals the numbers out as mma.sync wants them; `transposed` does it for B as it lies in memory, so
// that no tile is stored across any more. Rows go by 16 bytes from global to shared memory, too, and
// the swizzle of step 7 returns: chunk (16 bytes) c of row r lies at c ^ (r % 8), so that the eight rows
// of a matrix are in different banks.
#include "ptx.cuh"

constexpr int TILE = 64, DEPTH = 64, THREADS = 128, CHUNKS = 8;  // of 16 bytes in a row of either tile
typedef Vector<float, 4> Sixteen;  // bytes

__device__ int place(int row, int chunk) { return (row * CHUNKS + (chunk ^ row % 8)) * 8; }

extern "C" __global__ void matmul(float* c, const __half* a, const __half* b, int n) {
    DYNAMIC_SHARED(__half, left);
    __half* right = left + TILE * DEPTH;
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;
    float sums[2][4][4] = {};
    for (int start = 0; start < n; start += DEPTH) {
        for (int i = threadIdx.x; i < TILE * CHUNKS; i += THREADS) {
            const int row = i / CHUNKS, chunk = i % CHUNKS;
            *(Sixteen*)(left + place(row, chunk)) =
                *(const Sixteen*)&a[(first_row + row) * n + start + chunk * 8];
            *(Sixteen*)(right + place(row, chunk)) =
                *(const Sixteen*)&b[(start + row) * n + first_column + chunk * 8];
        }
        __syncthreads();
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
