// A row that a block works on: each thread keeps its first elements in registers.
#pragma once
#include "device.cuh"

constexpr int KEPT = 8;

// Thread t owns the elements t, t + blockDim.x, t + 2 blockDim.x, ... of a row. Rows of up to
// KEPT * blockDim.x columns are read from memory once; of longer ones the rest is read each time.
struct Row {
    const scalar_t* x;
    int columns;
    acc_t kept[KEPT];

    __device__ __forceinline__ Row(const scalar_t* row, int n) : x(row), columns(n) {
#pragma unroll
        for (int k = 0; k < KEPT; ++k) {
            const int i = threadIdx.x + k * blockDim.x;
            kept[k] = i < columns ? widen(x[i]) : acc_t(0);
        }
    }

    // f(i, x[i]) for each of the thread's elements.
    template <class F> __device__ __forceinline__ void each(F f) const {
#pragma unroll
        for (int k = 0; k < KEPT; ++k) {
            const int i = threadIdx.x + k * blockDim.x;
            if (i < columns) f(i, kept[k]);
        }
        for (int i = threadIdx.x + KEPT * blockDim.x; i < columns; i += blockDim.x) f(i, widen(x[i]));
    }
};
