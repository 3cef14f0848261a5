// Exercise 1: find the race. Each block sums a row of x by halves: 128 threads hold a number each, then
// 64 of them add two, then 32, and so on. Most runs on most GPUs give the right sums. The kernel is
// wrong nevertheless.
//
//     python examples/learn_cuda/exercises/grade.py examples/learn_cuda/exercises/race.cu
//
// prints the emulator's report. Which two threads meet where, and what must lie between? Mend a copy of
// this file, and grade that.
#include "device.cuh"

extern "C" __global__ void row_sums(float* y, const float* x, int columns) {
    __shared__ float held[128];
    float sum = 0;
    for (int i = threadIdx.x; i < columns; i += 128) sum += x[blockIdx.x * columns + i];
    held[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 64; half > 0; half /= 2) {
        if (threadIdx.x < half) held[threadIdx.x] += held[threadIdx.x + half];
    }
    if (threadIdx.x == 0) y[blockIdx.x] = held[0];
}
