// Products on tensor cores whose operands are gathered, element by element: conv.cu.
//
// Tiles, fragments and `multiply_stage` are those of tensor_tile.cuh. Its asynchronous copies are
// not used: each takes at least 4 neighbouring bytes, while here each element, of 2 bytes, has its
// own address and mask. So the loop is like that of gemm_tile.cuh, which it replaces in conv.cu,
// with the same name and parameters: the elements of a step go through registers into shared
// memory, one step ahead of the arithmetic, and two stages are enough.
#pragma once
#include "tensor_tile.cuh"

constexpr Order SPREAD = ACROSS;  // these differ in gemm_tile.cuh
constexpr int LOADED = CHUNK;     // elements that a thread loads at a time
typedef acc_t Held[LOADED];
// Two stages of an operand; as words, since an array of halves has a constructor.
typedef unsigned SharedA[2][BM * BK * sizeof(scalar_t) / 4];
typedef unsigned SharedB[2][BN * BK * sizeof(scalar_t) / 4];

template <int SIZE, Order ORDER> struct Gathered : Tile<SIZE, ORDER> {
    typedef Tile<SIZE, ORDER> Base;
    static constexpr int EACH = Base::EACH, CHUNKS = Base::CHUNKS;
    Held held[EACH];

    // The row and the k, within the tile, of element i of a thread's chunk q.
    static __device__ __forceinline__ int row(int q, int i) {
        const int chunk = threadIdx.x + q * THREADS;
        return ORDER == ALONG_K ? chunk / CHUNKS : chunk % CHUNKS * CHUNK + i;
    }
    static __device__ __forceinline__ int depth(int q, int i) {
        const int chunk = threadIdx.x + q * THREADS;
        return ORDER == ALONG_K ? chunk % CHUNKS * CHUNK + i : chunk / CHUNKS;
    }

    // f(q, held) fills in the elements of each chunk of the thread.
    template <class F> __device__ __forceinline__ void load(F f) {
#pragma unroll
        for (int q = 0; q < EACH; ++q) f(q, held[q]);
    }

    __device__ __forceinline__ void store(scalar_t* tile) const {
#pragma unroll
        for (int q = 0; q < EACH; ++q) {
            const int chunk = threadIdx.x + q * THREADS;
            scalar_t* to = tile + Base::place(chunk / CHUNKS, chunk % CHUNKS);
#pragma unroll
            for (int i = 0; i < LOADED; ++i) to[i] = narrow(held[q][i]);
        }
    }
};

// sums += A B over k from start to end; load_a(tile, k) and load_b(tile, k) fill the registers of a
// step, with zeros outside the matrices and beyond `end`.
template <class TileA, class TileB, class LoadA, class LoadB>
__device__ __forceinline__ void multiply(Sums& sums, int start, int end, TileA& next_a,
                                         TileB& next_b, LoadA load_a, LoadB load_b,
                                         SharedA& shared_a, SharedB& shared_b) {
    const auto a = [&](int stage) { return reinterpret_cast<scalar_t*>(shared_a[stage]); };
    const auto b = [&](int stage) { return reinterpret_cast<scalar_t*>(shared_b[stage]); };
    int stage = 0;
    load_a(next_a, start);
    load_b(next_b, start);
#pragma unroll 1
    for (int at = start; at < end; at += BK, stage ^= 1) {
        next_a.store(a(stage));
        next_b.store(b(stage));
        __syncthreads();  // all threads have left the other stage, which is free again
        if (at + BK < end) {
            load_a(next_a, at + BK);
            load_b(next_b, at + BK);
        }
        multiply_stage<TileA, TileB>(sums, a(stage), b(stage));
    }
}
