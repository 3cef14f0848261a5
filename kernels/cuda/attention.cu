// Attention by blocks: out = softmax(q k^T scale + mask) v for each head, forward and backward.
//
// q, out, g, dq: (N, Hq, T, d or dv); k, v, dk, dv: (N, Hk, S, d or dv); peaks, logs, along: (N,
// Hq, T) of acc_t. All outputs are overwritten. No matrix of scores is ever in global memory: a
// block holds a tile of queries and walks over tiles of keys (for dk and dv the other way round),
// and keeps for each query the running maximum and sum of its exponentials (Dao 2023,
// "FlashAttention-2"). The backward pass computes the weights again from that peak and the
// logarithm of that sum. The two are stored separately: added, they would lose the logarithm where
// the peak is large. Each gradient is summed by one block in a fixed order, without atomics.
//
// 8 neighbouring threads share a row of a tile; each owns some of its columns. Tiles lie in dynamic
// shared memory, rows PITCH apart, so that neighbouring rows begin in different banks.
// Status: emulated.
#include "attention.cuh"

#ifndef HEAD
#define HEAD 64  // the largest head size, of keys and of values
#endif

constexpr int TILE = sizeof(scalar_t) == 8 ? 16 : 32;  // queries or keys
constexpr int THREADS = 128, SHARERS = 8;
// Blocks on a multiprocessor: few enough to leave each the registers that it needs.
constexpr int MIN_BLOCKS = sizeof(scalar_t) == 8 ? 2 : 3;
constexpr int ROWS = TILE * SHARERS / THREADS, COLUMNS = TILE / SHARERS, PARTS = HEAD / SHARERS;
constexpr int TOGETHER = PARTS < 8 ? PARTS : 8;  // columns of a tile's products
constexpr int PITCH = HEAD + 1, WEIGHT_PITCH = TILE + 1;

typedef acc_t Scores[ROWS][COLUMNS];
typedef acc_t Part[ROWS][PARTS];
typedef acc_t Factors[COLUMNS];

// The thread's first row in a tile, first column of scores, and first column of a head.
__device__ __forceinline__ int own_row() { return threadIdx.x / SHARERS * ROWS; }
__device__ __forceinline__ int own_column() { return threadIdx.x % SHARERS * COLUMNS; }
__device__ __forceinline__ int part_column(int j) { return threadIdx.x % SHARERS + j * SHARERS; }

// Rows `first` to first + TILE of a (count, width) matrix, zeros beyond it, into a tile.
__device__ __forceinline__ void load(acc_t* tile, const scalar_t* matrix, int first, int count,
                                     int width) {
    for (int i = threadIdx.x; i < TILE * HEAD; i += THREADS) {
        const int row = i / HEAD, column = i % HEAD;
        const bool inside = first + row < count && column < width;
        const long long from = (long long)(first + row) * width + column;
        tile[row * PITCH + column] = inside ? widen(matrix[from]) : acc_t(0);
    }
}

// sums[r][c] = row own_row() + r of `left` times row own_column() + c of `right`.
__device__ __forceinline__ void multiply(Scores& sums, const acc_t* left, const acc_t* right,
                                         int width) {
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) sums[r][c] = 0;
    for (int k = 0; k < width; ++k)
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c)
                sums[r][c] += left[(own_row() + r) * PITCH + k] * right[(own_column() + c) * PITCH + k];
}

// sums[r] += sum over k of weights(r, k) * row k of `rows`, in the thread's part of the columns.
// The products of a tile are added up first: a float would lose digits if those of all tiles were
// added to it one by one. TOGETHER columns at a time are as many as there are registers for.
template <class W>
__device__ __forceinline__ void accumulate(Part& sums, const acc_t* rows, W weights) {
#pragma unroll
    for (int first = 0; first < PARTS; first += TOGETHER) {
        acc_t of_tile[ROWS][TOGETHER] = {};
        for (int k = 0; k < TILE; ++k)
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const acc_t weight = weights(r, k);
#pragma unroll
                for (int j = 0; j < TOGETHER; ++j)
                    of_tile[r][j] += weight * rows[k * PITCH + part_column(first + j)];
            }
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int j = 0; j < TOGETHER; ++j) sums[r][first + j] += of_tile[r][j];
    }
}

// The thread's part of rows first.. of a (count, width) matrix, times a factor.
__device__ __forceinline__ void store(scalar_t* matrix, const Part& sums, int first, int count,
                                      int width, acc_t factor) {
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int j = 0; j < PARTS; ++j) {
            const int row = first + own_row() + r, column = part_column(j);
            if (row < count && column < width)
                matrix[(long long)row * width + column] = narrow(sums[r][j] * factor);
        }
}

// The reduction over the threads that share a row.
template <class Op> __device__ __forceinline__ acc_t over_row(acc_t value) {
#pragma unroll
    for (int step = SHARERS / 2; step > 0; step /= 2)
        value = Op::of(value, __shfl_xor_sync(FULL_WARP, value, step));
    return value;
}

// grid.x: tiles of queries of all heads.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    attention(scalar_t* out, acc_t* peaks, acc_t* logs, const scalar_t* q, const scalar_t* k,
              const scalar_t* v, OPTIONAL const bool* seen, OPTIONAL const scalar_t* added,
              long long step_n, long long step_h, long long step_t, long long step_s, Sizes s,
              acc_t scale, float p, acc_t kept_scale, unsigned long long seed,
              unsigned long long offset) {
    DYNAMIC_SHARED(acc_t, shared);
    acc_t *queries = shared, *keys = queries + TILE * PITCH, *values = keys + TILE * PITCH;
    acc_t* weights = values + TILE * PITCH;
    const Mask mask{seen, added, step_n, step_h, step_t, step_s};
    const Dropout dropout{p, kept_scale, seed, offset};
    const int tiles = (s.queries + TILE - 1) / TILE, first = blockIdx.x % tiles * TILE;
    const int plane = blockIdx.x / tiles;
    const Head head(s, plane / s.heads, plane % s.heads);
    load(queries, q + head.query_plane * s.queries * s.width, first, s.queries, s.width);

    acc_t peak[ROWS], total[ROWS];
    Part mixed = {};
#pragma unroll
    for (int r = 0; r < ROWS; ++r) peak[r] = -infinity(), total[r] = 0;
    const int end = keys_seen(s, min(first + TILE, s.queries) - 1);
    for (int start = 0; start < end; start += TILE) {
        __syncthreads();  // no thread still reads the tiles of the step before
        load(keys, k + head.key_plane * s.keys * s.width, start, s.keys, s.width);
        load(values, v + head.key_plane * s.keys * s.value_width, start, s.keys, s.value_width);
        __syncthreads();
        Scores scores;
        multiply(scores, queries, keys, s.width);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const int i = first + own_row() + r, j = start + own_column();
            acc_t highest = peak[r], sum = 0;
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                scores[r][c] = head.score(scores[r][c] * scale, i, j + c, s, mask);
                highest = Max::of(highest, scores[r][c]);
            }
            highest = over_row<Max>(highest);
            const acc_t base = highest == -infinity() ? acc_t(0) : highest;
            const acc_t shrink = exp(peak[r] - base);
            Factors factors;
            if (dropout.p > 0) head.kept(factors, i, j, s, dropout);
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                const acc_t weight = exp(scores[r][c] - base);
                sum += weight;
                weights[(own_row() + r) * WEIGHT_PITCH + own_column() + c] =
                    dropout.p > 0 ? weight * factors[c] : weight;
            }
            total[r] = total[r] * shrink + over_row<Sum>(sum);
            peak[r] = highest;
#pragma unroll
            for (int part = 0; part < PARTS; ++part) mixed[r][part] *= shrink;
        }
        __syncwarp();  // a row's weights come from the threads that share it
        accumulate(mixed, values, [&](int r, int key) {
            return weights[(own_row() + r) * WEIGHT_PITCH + key];
        });
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int i = first + own_row() + r;
        const bool blind = total[r] == acc_t(0);
        const acc_t factor = blind ? acc_t(0) : 1 / total[r];
#pragma unroll
        for (int part = 0; part < PARTS; ++part) mixed[r][part] *= factor;
        if (threadIdx.x % SHARERS == 0 && i < s.queries) {
            const long long row = head.query_plane * s.queries + i;
            peaks[row] = blind ? acc_t(0) : peak[r];
            logs[row] = blind ? acc_t(0) : acc_t(log(total[r]));
        }
    }
    store(out + head.query_plane * s.queries * s.value_width, mixed, first, s.queries, s.value_width,
          acc_t(1));
}

// along = sum of g * out over the values of a query, with a warp for each query.
extern "C" __global__ void attention_along(acc_t* along, const scalar_t* g, const scalar_t* out,
                                           long long queries, int value_width) {
    const long long row = grid_thread() / WARP;
    if (row >= queries) return;
    acc_t sum = 0;
    for (int c = threadIdx.x % WARP; c < value_width; c += WARP)
        sum += widen(g[row * value_width + c]) * widen(out[row * value_width + c]);
    sum = warp_reduce<Sum>(sum);
    if (threadIdx.x % WARP == 0) along[row] = sum;
}

// Computes the weights of a tile of queries and keys again, and the gradient with respect to the
// scores. For each score of the thread it calls f(r, c, weight after dropout, gradient).
template <class F>
__device__ __forceinline__ void tile_backward(const acc_t* queries, const acc_t* keys,
                                              const acc_t* gradients, const acc_t* values,
                                              const acc_t* peaks, const acc_t* logs,
                                              const acc_t* along, const Head& head, int first,
                                              int start, const Sizes& s, const Mask& mask,
                                              const Dropout& dropout, acc_t scale, F f) {
    Scores scores, by_weight;
    multiply(scores, queries, keys, s.width);
    multiply(by_weight, gradients, values, s.value_width);
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int i = first + own_row() + r, j = start + own_column();
        // In 32 bits, for fewer registers: 2^32 queries would have 48 GB of peaks, logs and along.
        const unsigned row = unsigned(head.query_plane) * s.queries + min(i, s.queries - 1);
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            const acc_t score = head.score(scores[r][c] * scale, i, j + c, s, mask);
            scores[r][c] = score - peaks[row] - logs[row];
        }
        Factors factors;
        if (dropout.p > 0) head.kept(factors, i, j, s, dropout);
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            const acc_t factor = dropout.p > 0 ? factors[c] : acc_t(1);
            const acc_t weight = exp(scores[r][c]);
            f(r, c, weight * factor, weight * (by_weight[r][c] * factor - along[row]));
        }
    }
}

// dq, with a block for each tile of queries. grid.x: tiles of queries of all heads.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    attention_query_grad(scalar_t* dq, const scalar_t* g, const scalar_t* q, const scalar_t* k,
                         const scalar_t* v, const acc_t* peaks, const acc_t* logs,
                         const acc_t* along, OPTIONAL const bool* seen,
                         OPTIONAL const scalar_t* added, long long step_n, long long step_h,
                         long long step_t, long long step_s, Sizes s, acc_t scale, float p,
                         acc_t kept_scale, unsigned long long seed, unsigned long long offset) {
    DYNAMIC_SHARED(acc_t, shared);
    acc_t *queries = shared, *gradients = queries + TILE * PITCH;
    acc_t *keys = gradients + TILE * PITCH, *values = keys + TILE * PITCH;
    acc_t* by_score = values + TILE * PITCH;
    const Mask mask{seen, added, step_n, step_h, step_t, step_s};
    const Dropout dropout{p, kept_scale, seed, offset};
    const int tiles = (s.queries + TILE - 1) / TILE, first = blockIdx.x % tiles * TILE;
    const int plane = blockIdx.x / tiles;
    const Head head(s, plane / s.heads, plane % s.heads);
    load(queries, q + head.query_plane * s.queries * s.width, first, s.queries, s.width);
    load(gradients, g + head.query_plane * s.queries * s.value_width, first, s.queries,
         s.value_width);
    Part sums = {};
    const int end = keys_seen(s, min(first + TILE, s.queries) - 1);
    for (int start = 0; start < end; start += TILE) {
        __syncthreads();
        load(keys, k + head.key_plane * s.keys * s.width, start, s.keys, s.width);
        load(values, v + head.key_plane * s.keys * s.value_width, start, s.keys, s.value_width);
        __syncthreads();
        tile_backward(queries, keys, gradients, values, peaks, logs, along, head, first, start, s,
                      mask, dropout, scale, [&](int r, int c, acc_t, acc_t gradient) {
                          by_score[(own_row() + r) * WEIGHT_PITCH + own_column() + c] = gradient;
                      });
        __syncwarp();
        accumulate(sums, keys, [&](int r, int key) {
            return by_score[(own_row() + r) * WEIGHT_PITCH + key];
        });
    }
    store(dq + head.query_plane * s.queries * s.width, sums, first, s.queries, s.width, scale);
}

// dk and dv, with a block for each tile of keys: over all queries of the heads that share it.
// grid.x: tiles of keys of all key heads.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    attention_key_grad(OPTIONAL scalar_t* dk, OPTIONAL scalar_t* dv, const scalar_t* g,
                       const scalar_t* q, const scalar_t* k, const scalar_t* v, const acc_t* peaks,
                       const acc_t* logs, const acc_t* along, OPTIONAL const bool* seen,
                       OPTIONAL const scalar_t* added, long long step_n, long long step_h,
                       long long step_t, long long step_s, Sizes s, acc_t scale, float p,
                       acc_t kept_scale, unsigned long long seed, unsigned long long offset) {
    DYNAMIC_SHARED(acc_t, shared);
    acc_t *queries = shared, *gradients = queries + TILE * PITCH;
    acc_t *keys = gradients + TILE * PITCH, *values = keys + TILE * PITCH;
    acc_t *weights = values + TILE * PITCH, *by_score = weights + TILE * WEIGHT_PITCH;
    const Mask mask{seen, added, step_n, step_h, step_t, step_s};
    const Dropout dropout{p, kept_scale, seed, offset};
    const int tiles = (s.keys + TILE - 1) / TILE, start = blockIdx.x % tiles * TILE;
    const long long key_plane = blockIdx.x / tiles;
    const int group = s.heads / s.key_heads, n = int(key_plane / s.key_heads);
    load(keys, k + key_plane * s.keys * s.width, start, s.keys, s.width);
    load(values, v + key_plane * s.keys * s.value_width, start, s.keys, s.value_width);
    Part key_sums = {}, value_sums = {};
    // The first query that may see the tile's first key.
    const int from = s.causal ? max(0, start - (s.keys - s.queries)) / TILE * TILE : 0;
    for (int h = 0; h < group; ++h) {
        const Head head(s, n, int(key_plane % s.key_heads) * group + h);
        for (int first = from; first < s.queries; first += TILE) {
            __syncthreads();
            load(queries, q + head.query_plane * s.queries * s.width, first, s.queries, s.width);
            load(gradients, g + head.query_plane * s.queries * s.value_width, first, s.queries,
                 s.value_width);
            __syncthreads();
            tile_backward(queries, keys, gradients, values, peaks, logs, along, head, first, start, s,
                          mask, dropout, scale, [&](int r, int c, acc_t weight, acc_t gradient) {
                              const int at = (own_row() + r) * WEIGHT_PITCH + own_column() + c;
                              weights[at] = weight;
                              by_score[at] = gradient;
                          });
            __syncthreads();
            // Now the thread's rows are keys: columns of by_score and weights.
            if (dk)
                accumulate(key_sums, queries, [&](int r, int query) {
                    return by_score[query * WEIGHT_PITCH + own_row() + r];
                });
            if (dv)
                accumulate(value_sums, gradients, [&](int r, int query) {
                    return weights[query * WEIGHT_PITCH + own_row() + r];
                });
        }
    }
    if (dk) store(dk + key_plane * s.keys * s.width, key_sums, start, s.keys, s.width, scale);
    if (dv)
        store(dv + key_plane * s.keys * s.value_width, value_sums, start, s.keys, s.value_width,
              acc_t(1));
}
