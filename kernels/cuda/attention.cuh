// What all kernels of attention share: sizes, mask, dropout, and where a head lies.
#pragma once
#include "philox.cuh"

struct Sizes {
    int batch, heads, key_heads, queries, keys, width, value_width, causal;
};

struct Mask {
    const bool* seen;       // true where a query may look, or null
    const scalar_t* added;  // added to the scores, or null
    long long step_n, step_h, step_t, step_s;
};

struct Dropout {
    float p;
    acc_t scale;  // of what is kept
    unsigned long long seed, offset;
};

// One head: where its matrices lie, and which keys a query sees.
struct Head {
    int n, h, key_head;
    long long query_plane, key_plane;

    __device__ __forceinline__ Head(const Sizes& s, int n, int h) : n(n), h(h) {
        key_head = h / (s.heads / s.key_heads);
        query_plane = (long long)n * s.heads + h;
        key_plane = (long long)n * s.key_heads + key_head;
    }
    // The score of query i and key j, from their product times the scale.
    __device__ __forceinline__ acc_t score(acc_t product, int i, int j, const Sizes& s,
                                           const Mask& mask) const {
        if (i >= s.queries || j >= s.keys || (s.causal && j > i + s.keys - s.queries))
            return -infinity();
        const long long at =
            n * mask.step_n + h * mask.step_h + i * mask.step_t + j * mask.step_s;
        if (mask.seen && !mask.seen[at]) return -infinity();
        return mask.added ? product + widen(mask.added[at]) : product;
    }
    // The factors by which dropout multiplies the weights of query i, from key j on. All come from
    // one Philox block: j % 4 + COUNT is at most 4.
    template <int COUNT>
    __device__ __forceinline__ void kept(acc_t (&factors)[COUNT], int i, int j, const Sizes& s,
                                         const Dropout& dropout) const {
        const unsigned long long row = (unsigned long long)(query_plane * s.queries + i);
        const Words words = philox(dropout.seed, dropout.offset + row * ((s.keys + 3) / 4) + j / 4);
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            const unsigned low = j % 2 + c % 2 == 1 ? words.at[1] : words.at[0];
            const unsigned high = j % 2 + c % 2 == 1 ? words.at[3] : words.at[2];
            const unsigned word = (j + c) % 4 < 2 ? low : high;
            factors[c] = uniform(word) >= dropout.p ? dropout.scale : acc_t(0);
        }
    }
};

// One past the last key that any of the queries up to `last` may see.
__device__ __forceinline__ int keys_seen(const Sizes& s, int last) {
    return s.causal ? min(s.keys, last + 1 + s.keys - s.queries) : s.keys;
}
