// Flash attention on tensor cores, float16 and bfloat16: attention.cu's three kernels, for sm_80.
//
// A block of four warps holds TILE queries (for dk and dv: keys), 16 rows for each warp, and walks
// over the tiles of keys (queries), which asynchronous copies bring one step ahead. Scores stay in
// registers: the sums of one mma.sync, rounded to half precision, are the left operand of the next.
// Sums, exponentials, and the peak and the logarithm of the sum of each query are float32. Each
// gradient is summed by one block in a fixed order.
// Source: Dao 2023, "FlashAttention-2".
//
// Swizzle: the 16-byte chunks of a row of a tile change places, by an exclusive or with the number
// of the row, so that the eight rows that ldmatrix reads at a time lie in different banks.
// Status: emulated.
#include "attention.cuh"
#include "ptx.cuh"

#ifndef HEAD
#define HEAD 64  // the largest head size, of keys and of values
#endif

constexpr int TILE = 64, THREADS = 128;
constexpr int WALKED = HEAD > 64 ? 32 : 64;  // queries of a step of dk and dv: fewer, not to spill
constexpr int CHUNK = 8, CHUNKS = HEAD / CHUNK, PARTS = HEAD / 8;
typedef unsigned Fragment[4];
// Lane l's part of a fragment of 16 x 8: columns 2 (l % 4) and next of rows l / 4 and l / 4 + 8.
typedef float Four[4];
typedef Four Part[PARTS];

__device__ __forceinline__ int lane() { return threadIdx.x % WARP; }
// The first of the warp's 16 rows in the block's tile; row r (0 or 1) of the thread, and column c.
__device__ __forceinline__ int warp_row() { return threadIdx.x / WARP * 16; }
__device__ __forceinline__ int own_row(int r) { return warp_row() + lane() / 4 + r * 8; }
__device__ __forceinline__ int own_column(int part, int c) { return part * 8 + lane() % 4 * 2 + c; }

__device__ __forceinline__ int place(int row, int chunk) {
    return (row * CHUNKS + (chunk ^ (CHUNKS < 8 ? row / 2 % 4 : row % 8))) * CHUNK;
}

// Begins to copy rows `first` to first + SIZE of a (count, width) matrix, zeros beyond it.
template <int SIZE>
__device__ __forceinline__ void load(scalar_t* tile, const scalar_t* matrix, int first, int count,
                                     int width) {
    const bool aligned = width % CHUNK == 0 && (unsigned long long)matrix % 16 == 0;
    for (int i = threadIdx.x; i < SIZE * CHUNKS; i += THREADS) {
        const int row = i / CHUNKS, chunk = i % CHUNKS, column = chunk * CHUNK;
        const scalar_t* from = matrix + (long long)(first + row) * width + column;
        scalar_t* to = tile + place(row, chunk);
        const bool inside = first + row < count && column < width;
        if (aligned) {
            copy_async_16(to, inside ? from : matrix, inside);
            continue;
        }
#pragma unroll
        for (int e = 0; e < CHUNK; ++e)
            to[e] = inside && column + e < width ? from[e] : narrow(0);
    }
}

// sums = the warp's 16 rows of `left` times the rows of `right`, 8 for each fragment of sums.
template <int COUNT>
__device__ __forceinline__ void multiply(Four (&sums)[COUNT], const scalar_t* left,
                                         const scalar_t* right) {
#pragma unroll
    for (int part = 0; part < COUNT; ++part)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[part][i] = 0;
#pragma unroll
    for (int step = 0; step < HEAD / 16; ++step) {
        Fragment a;
        load_matrices(a, left + place(warp_row() + lane() % 16, step * 2 + lane() / 16));
#pragma unroll
        for (int part = 0; part < COUNT; part += 2) {
            Fragment b;
            const int row = part * 8 + lane() % 8 + lane() / 16 * 8;
            load_matrices(b, right + place(row, step * 2 + lane() / 8 % 2));
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                Four& s = sums[part + i];
                Multiply<scalar_t>::add(s[0], s[1], s[2], s[3], a, b + i * 2);
            }
        }
    }
}

__device__ __forceinline__ unsigned packed(float first, float second) {
    Vector<scalar_t, 2> pair;
    pair.at[0] = narrow(first);
    pair.at[1] = narrow(second);
    return *reinterpret_cast<unsigned*>(&pair);
}

// sums += the warp's weights (16, 8 COUNT), rounded, times the rows of a tile (8 COUNT, HEAD).
template <int COUNT>
__device__ __forceinline__ void accumulate(Part& sums, const Four (&weights)[COUNT],
                                           const scalar_t* tile) {
#pragma unroll
    for (int step = 0; step < COUNT / 2; ++step) {
        const Four &near = weights[2 * step], &far = weights[2 * step + 1];
        const Fragment a = {packed(near[0], near[1]), packed(near[2], near[3]),
                            packed(far[0], far[1]), packed(far[2], far[3])};
#pragma unroll
        for (int part = 0; part < PARTS; part += 2) {
            Fragment b;
            load_matrices_transposed(b, tile + place(step * 16 + lane() % 16, part + lane() / 16));
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                Four& s = sums[part + i];
                Multiply<scalar_t>::add(s[0], s[1], s[2], s[3], a, b + i * 2);
            }
        }
    }
}

// Stores the thread's sums to rows first.. of a (count, width) matrix, times a factor for each row.
__device__ __forceinline__ void store(scalar_t* matrix, const Part& sums, int first, int count,
                                      int width, float upper, float lower) {
    const bool pairs = width % 2 == 0;  // the launcher's outputs are aligned
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = first + own_row(r);
        if (row >= count) continue;
        const float factor = r ? lower : upper;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            const int column = own_column(part, 0);
            const float x = sums[part][r * 2] * factor, y = sums[part][r * 2 + 1] * factor;
            scalar_t* to = matrix + (long long)row * width + column;
            if (pairs && column < width) {
                *reinterpret_cast<unsigned*>(to) = packed(x, y);
                continue;
            }
            if (column < width) to[0] = narrow(x);
            if (column + 1 < width) to[1] = narrow(y);
        }
    }
}

// The reduction over the four threads that share a row.
template <class Op> __device__ __forceinline__ float over_row(float value) {
    value = Op::of(value, __shfl_xor_sync(FULL_WARP, value, 1));
    return Op::of(value, __shfl_xor_sync(FULL_WARP, value, 2));
}

// Two tiles of each step, of SIZE rows, in a ring of two stages.
template <int SIZE> struct Ring {
    scalar_t* shared;

    __device__ __forceinline__ scalar_t* first(int step) const {
        return shared + step % 2 * 2 * SIZE * HEAD;
    }
    __device__ __forceinline__ scalar_t* second(int step) const {
        return first(step) + SIZE * HEAD;
    }
};

// Begins to copy the tiles of keys and of values of a step over a head.
__device__ __forceinline__ void load_keys(const Ring<TILE>& ring, int step, const scalar_t* k,
                                          const scalar_t* v, const Head& head, const Sizes& s) {
    load<TILE>(ring.first(step), k + head.key_plane * s.keys * s.width, step * TILE, s.keys,
               s.width);
    load<TILE>(ring.second(step), v + head.key_plane * s.keys * s.value_width, step * TILE, s.keys,
               s.value_width);
}

// For each step from 0 on: load(step) begins its copies, and work(step) follows one step later.
template <class Load, class Work>
__device__ __forceinline__ void walk(int steps, Load load, Work work) {
#pragma unroll 1
    for (int step = -1; step < steps; ++step) {
        if (step + 1 < steps) load(step + 1);
        copy_async_commit();
        if (step < 0) continue;
        copy_async_wait<1>();
        __syncthreads();  // the copies of all threads are here
        work(step);
        __syncthreads();  // all threads have left the stage, which is free again
    }
}

// grid.x: tiles of queries of all heads.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention(scalar_t* out, float* peaks, float* logs, const scalar_t* q, const scalar_t* k,
              const scalar_t* v, OPTIONAL const bool* seen, OPTIONAL const scalar_t* added,
              long long step_n, long long step_h, long long step_t, long long step_s, Sizes s,
              float scale, float p, float kept_scale, unsigned long long seed,
              unsigned long long offset) {
    DYNAMIC_SHARED(scalar_t, queries);
    const Ring<TILE> ring{queries + TILE * HEAD};
    const Mask mask{seen, added, step_n, step_h, step_t, step_s};
    const Dropout dropout{p, kept_scale, seed, offset};
    const int tiles = (s.queries + TILE - 1) / TILE, first = blockIdx.x % tiles * TILE;
    const int plane = blockIdx.x / tiles;
    const Head head(s, plane / s.heads, plane % s.heads);
    load<TILE>(queries, q + head.query_plane * s.queries * s.width, first, s.queries, s.width);

    float peak[2] = {-infinity(), -infinity()}, total[2] = {0, 0};
    Part mixed = {};
    const int end = keys_seen(s, min(first + TILE, s.queries) - 1);
    const auto load_step = [&](int step) { load_keys(ring, step, k, v, head, s); };
    walk((end + TILE - 1) / TILE, load_step, [&](int step) {
        Four scores[TILE / 8];
        multiply(scores, queries, ring.first(step));
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int i = first + own_row(r);
            float highest = peak[r], sum = 0;
#pragma unroll
            for (int part = 0; part < TILE / 8; ++part)
#pragma unroll
                for (int c = 0; c < 2; ++c) {
                    float& score = scores[part][r * 2 + c];
                    const int j = step * TILE + own_column(part, c);
                    score = head.score(score * scale, i, j, s, mask);
                    highest = Max::of(highest, score);
                }
            highest = over_row<Max>(highest);
            const float base = highest == -infinity() ? 0.0f : highest;
            const float shrink = __expf(peak[r] - base);
#pragma unroll
            for (int part = 0; part < TILE / 8; ++part) {
                float factors[2];
                const int j = step * TILE + own_column(part, 0);
                if (dropout.p > 0) head.kept(factors, i, j, s, dropout);
#pragma unroll
                for (int c = 0; c < 2; ++c) {
                    float& score = scores[part][r * 2 + c];
                    const float weight = __expf(score - base);
                    sum += weight;
                    score = dropout.p > 0 ? weight * factors[c] : weight;
                }
            }
            total[r] = total[r] * shrink + over_row<Sum>(sum);
            peak[r] = highest;
#pragma unroll
            for (int part = 0; part < PARTS; ++part)
#pragma unroll
                for (int c = 0; c < 2; ++c) mixed[part][r * 2 + c] *= shrink;
        }
        accumulate(mixed, scores, ring.second(step));
    });
    float factors[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int i = first + own_row(r);
        const bool blind = total[r] == 0;
        factors[r] = blind ? 0.0f : 1 / total[r];
        if (lane() % 4 == 0 && i < s.queries) {
            const long long row = head.query_plane * s.queries + i;
            peaks[row] = blind ? 0.0f : peak[r];
            logs[row] = blind ? 0.0f : logf(total[r]);
        }
    }
    store(out + head.query_plane * s.queries * s.value_width, mixed, first, s.queries,
          s.value_width, factors[0], factors[1]);
}

// Query i and key j: `weight` comes in as their product and becomes the weight after dropout;
// `gradient` comes in as that of the weight and becomes that of the score.
__device__ __forceinline__ void backward(float& weight, float& gradient, const Head& head, int i,
                                         int j, const Sizes& s, const Mask& mask,
                                         const Dropout& dropout, float scale, const float* peaks,
                                         const float* logs, const float* along) {
    const long long row = head.query_plane * s.queries + min(i, s.queries - 1);
    float factors[1] = {1};
    if (dropout.p > 0) head.kept(factors, i, j, s, dropout);
    const float found = __expf(head.score(weight * scale, i, j, s, mask) - peaks[row] - logs[row]);
    weight = found * factors[0];
    gradient = found * (gradient * factors[0] - along[row]);
}

// dq, with a block for each tile of queries. grid.x: tiles of queries of all heads.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_query_grad(scalar_t* dq, const scalar_t* g, const scalar_t* q, const scalar_t* k,
                         const scalar_t* v, const float* peaks, const float* logs,
                         const float* along, OPTIONAL const bool* seen,
                         OPTIONAL const scalar_t* added, long long step_n, long long step_h,
                         long long step_t, long long step_s, Sizes s, float scale, float p,
                         float kept_scale, unsigned long long seed, unsigned long long offset) {
    DYNAMIC_SHARED(scalar_t, queries);
    scalar_t* gradients = queries + TILE * HEAD;
    const Ring<TILE> ring{gradients + TILE * HEAD};
    const Mask mask{seen, added, step_n, step_h, step_t, step_s};
    const Dropout dropout{p, kept_scale, seed, offset};
    const int tiles = (s.queries + TILE - 1) / TILE, first = blockIdx.x % tiles * TILE;
    const int plane = blockIdx.x / tiles;
    const Head head(s, plane / s.heads, plane % s.heads);
    load<TILE>(queries, q + head.query_plane * s.queries * s.width, first, s.queries, s.width);
    load<TILE>(gradients, g + head.query_plane * s.queries * s.value_width, first, s.queries,
               s.value_width);
    Part sums = {};
    const int end = keys_seen(s, min(first + TILE, s.queries) - 1);
    const auto load_step = [&](int step) { load_keys(ring, step, k, v, head, s); };
    walk((end + TILE - 1) / TILE, load_step, [&](int step) {
        Four weights[TILE / 8], by_score[TILE / 8];
        multiply(weights, queries, ring.first(step));
        multiply(by_score, gradients, ring.second(step));
#pragma unroll
        for (int part = 0; part < TILE / 8; ++part)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                backward(weights[part][e], by_score[part][e], head, first + own_row(e / 2),
                         step * TILE + own_column(part, e % 2), s, mask, dropout, scale, peaks,
                         logs, along);
        accumulate(sums, by_score, ring.first(step));
    });
    store(dq + head.query_plane * s.queries * s.width, sums, first, s.queries, s.width, scale, scale);
}

// dk and dv, with a block for each tile of keys: over all queries of the heads that share it. Here
// rows are keys and columns queries. grid.x: tiles of keys of all key heads.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    attention_key_grad(OPTIONAL scalar_t* dk, OPTIONAL scalar_t* dv, const scalar_t* g,
                       const scalar_t* q, const scalar_t* k, const scalar_t* v, const float* peaks,
                       const float* logs, const float* along, OPTIONAL const bool* seen,
                       OPTIONAL const scalar_t* added, long long step_n, long long step_h,
                       long long step_t, long long step_s, Sizes s, float scale, float p,
                       float kept_scale, unsigned long long seed, unsigned long long offset) {
    DYNAMIC_SHARED(scalar_t, keys);
    scalar_t* values = keys + TILE * HEAD;
    const Ring<WALKED> ring{values + TILE * HEAD};
    const Mask mask{seen, added, step_n, step_h, step_t, step_s};
    const Dropout dropout{p, kept_scale, seed, offset};
    const int tiles = (s.keys + TILE - 1) / TILE, start = blockIdx.x % tiles * TILE;
    const long long key_plane = blockIdx.x / tiles;
    const int group = s.heads / s.key_heads, n = int(key_plane / s.key_heads);
    load<TILE>(keys, k + key_plane * s.keys * s.width, start, s.keys, s.width);
    load<TILE>(values, v + key_plane * s.keys * s.value_width, start, s.keys, s.value_width);
    Part key_sums = {}, value_sums = {};
    // The first query that may see the tile's first key.
    const int from = s.causal ? max(0, start - (s.keys - s.queries)) / WALKED * WALKED : 0;
    const int walked = max(0, s.queries - from + WALKED - 1) / WALKED;  // tiles of a head
    const auto head_of = [&](int step) {
        return Head(s, n, int(key_plane % s.key_heads) * group + step / walked);
    };
    const auto load_step = [&](int step) {
        const Head head = head_of(step);
        const int first = from + step % walked * WALKED;
        load<WALKED>(ring.first(step), q + head.query_plane * s.queries * s.width, first, s.queries,
                     s.width);
        load<WALKED>(ring.second(step), g + head.query_plane * s.queries * s.value_width, first,
                     s.queries, s.value_width);
    };
    walk(walked * group, load_step, [&](int step) {
        const Head head = head_of(step);
        const int first = from + step % walked * WALKED;
        Four weights[WALKED / 8], by_score[WALKED / 8];
        multiply(weights, keys, ring.first(step));
        multiply(by_score, values, ring.second(step));
#pragma unroll
        for (int part = 0; part < WALKED / 8; ++part)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                backward(weights[part][e], by_score[part][e], head, first + own_column(part, e % 2),
                         start + own_row(e / 2), s, mask, dropout, scale, peaks, logs, along);
        if (dk) accumulate(key_sums, by_score, ring.first(step));
        if (dv) accumulate(value_sums, weights, ring.second(step));
    });
    if (dk)
        store(dk + key_plane * s.keys * s.width, key_sums, start, s.keys, s.width, scale, scale);
    if (dv)
        store(dv + key_plane * s.keys * s.value_width, value_sums, start, s.keys, s.value_width, 1, 1);
}
