// What a product on tensor cores does with its sums: it stores activation(sum + bias) + residual
// or, where k is cut into parts, the sum itself in a workspace.
#pragma once
#include "activation.cuh"

// Not inlined, because a thread has up to 128 sums, and each would have this code.
__device__ __noinline__ float out_of_line(float x, int activation) {
    return activated(x, activation);
}

struct Result {
    scalar_t* c;
    float* workspace;
    const scalar_t *bias, *residual;
    int m, n, activation;
    bool pairs;        // two neighbours of a row are aligned, and both inside or both outside
    long long matrix;  // its index in the batch
    long long part;    // its index in the workspace: for each part of k, all matrices of the batch

    // Stores the sums of columns j and j + 1 of row i, which must be inside.
    __device__ __forceinline__ void store(int i, int j, float first, float second) const {
        const long long size = (long long)m * n, at = (long long)i * n + j;
        const float sums[2] = {first, second};
        Vector<scalar_t, 2> pair;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            if (j + e >= n) continue;
            if (workspace) {
                workspace[part * size + at + e] = sums[e];
                continue;
            }
            float value = sums[e];
            if (bias) value += widen(bias[j + e]);
            if (activation != NONE) value = out_of_line(value, activation);
            if (residual) value += widen(residual[matrix * size + at + e]);
            pair.at[e] = narrow(value);
            if (!pairs) c[matrix * size + at + e] = pair.at[e];
        }
        if (pairs && !workspace && j < n)
            *reinterpret_cast<Vector<scalar_t, 2>*>(c + matrix * size + at) = pair;
    }
};

constexpr int GROUP = 8;  // rows of tiles whose blocks run at about the same time, to share B in L2

// The tile of a block: its matrix in the batch, its first row and column.
struct Place {
    int batch, first_row, first_column;

    __device__ __forceinline__ Place(int m, int n, int rows, int columns) {
        const int tiles_m = (m + rows - 1) / rows, tiles_n = (n + columns - 1) / columns;
        const int tile = blockIdx.x % (tiles_m * tiles_n);
        batch = blockIdx.x / (tiles_m * tiles_n);
        const int group = tile / (GROUP * tiles_n) * GROUP, height = min(GROUP, tiles_m - group);
        const int in_group = tile % (GROUP * tiles_n);
        first_row = (group + in_group % height) * rows;
        first_column = in_group / height * columns;
    }
};
