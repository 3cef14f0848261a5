// 2-D convolution and its two gradients as products of matrices whose operands are never built.
//
// x, dx (N, C, H, W); weight, dweight (O, C / groups, kh, kw); y, g (N, O, P, Q). Each group is a
// product (gemm_tile.cuh or, for half types on tensor cores, gathered.cuh), and each load computes
// where in the images its element lies; elements in the padding are 0. Positions number the pixels
// of all images, image by image.
//
//   forward       y[o, position]  = sum over k = (c, i, j) of weight[o, k] * x[c, position + (i, j)]
//   input grad    dx[c, position] = sum over k = (o, i, j) of weight[o, c, i, j] * g[o, ...]
//   weight grad   dweight[o, (c, i, j)] = sum over positions of g[o, position] * x[c, ...]
//
// The weight gradient is cut into gridDim.y parts of the positions. They leave their sums in a
// workspace (parts, dweight's shape) of acc_t, which the launcher adds up. Outputs are overwritten.
// Status: emulated.
#include "activation.cuh"
#ifdef TENSOR
#include "gathered.cuh"
template <int SIZE, Order ORDER> using Operand = Gathered<SIZE, ORDER>;
#else
#include "gemm_tile.cuh"
template <int SIZE, Order ORDER> using Operand = Tile<SIZE, ORDER>;
#endif

struct Shape {
    int images, channels, height, width;
    int filters, kernel_h, kernel_w, groups;
    int out_h, out_w;
    int stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
};

// The block's place: grid.x covers the tiles of a group's matrix, group by group.
struct Block {
    int group, first_row, first_column;

    __device__ __forceinline__ Block(int rows, int columns) {
        const int across = (columns + BN - 1) / BN, tiles = (rows + BM - 1) / BM * across;
        group = blockIdx.x / tiles;
        first_row = blockIdx.x % tiles / across * BM;
        first_column = blockIdx.x % across * BN;
    }
};

// A position of `height` x `width` images.
struct Position {
    int image, y, x;

    __device__ __forceinline__ Position(int position, int height, int width) {
        image = position / (height * width);
        y = position / width % height;
        x = position % width;
    }
    __device__ __forceinline__ void next(int height, int width) {
        if (++x < width) return;
        x = 0;
        if (++y < height) return;
        y = 0;
        ++image;
    }
};

// Where the plane (image, channel) begins, of `channels` planes of `size` elements for each image.
__device__ __forceinline__ long long plane(int image, int channels, int channel, int size) {
    return ((long long)image * channels + channel) * size;
}

// The element of x under tap (i, j) of the window at `out`; 0 in the padding.
__device__ __forceinline__ acc_t looked_at(const scalar_t* x, const Shape& s, int channel,
                                           const Position& out, int i, int j) {
    const int y = out.y * s.stride_h - s.padding_h + i * s.dilation_h;
    const int c = out.x * s.stride_w - s.padding_w + j * s.dilation_w;
    if (y < 0 || y >= s.height || c < 0 || c >= s.width) return acc_t(0);
    return widen(x[plane(out.image, s.channels, channel, s.height * s.width) + y * s.width + c]);
}

// The element of g whose window has its tap (i, j) over `in`; 0 if there is none.
__device__ __forceinline__ acc_t looking(const scalar_t* g, const Shape& s, int filter,
                                         const Position& in, int i, int j) {
    const int y = in.y + s.padding_h - i * s.dilation_h, x = in.x + s.padding_w - j * s.dilation_w;
    if (y < 0 || x < 0 || y % s.stride_h != 0 || x % s.stride_w != 0) return acc_t(0);
    const int p = y / s.stride_h, q = x / s.stride_w;
    if (p >= s.out_h || q >= s.out_w) return acc_t(0);
    return widen(g[plane(in.image, s.filters, filter, s.out_h * s.out_w) + p * s.out_w + q]);
}

// Loads a tile of B, whose columns are the positions of images of height x width, and whose rows are
// the channels of a group with all taps: read(channel, position, i, j) is an element.
template <class Tile, class F>
__device__ __forceinline__ void load_windows(Tile& tile, int start, const Block& block,
                                             const Shape& s, int channels, int columns, int height,
                                             int width, F read) {
    const int taps = s.kernel_h * s.kernel_w, end = channels * taps;
    tile.load([&](int q, Held& held) {
        const int k = start + tile.depth(q, 0), tap = k % taps;
        const int channel = block.group * channels + k / taps;
#pragma unroll
        for (int e = 0; e < LOADED; ++e) {
            const int column = block.first_column + tile.row(q, e);
            held[e] = 0;
            if (k >= end || column >= columns) continue;
            const Position position(column, height, width);
            held[e] = read(channel, position, tap / s.kernel_w, tap % s.kernel_w);
        }
    });
}

// Writes the thread's sums where f(row, column) says.
template <class F>
__device__ __forceinline__ void write(const Sums& sums, const Block& block, int rows, int columns,
                                      F f) {
#pragma unroll
    for (int r = 0; r < OWN_ROWS; ++r) {
#pragma unroll
        for (int c = 0; c < OWN_COLUMNS; ++c) {
            const int row = block.first_row + row_of(r), column = block.first_column + column_of(c);
            if (row < rows && column < columns) f(row, column, sums[r][c]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    conv2d(scalar_t* y, const scalar_t* x, const scalar_t* weight, OPTIONAL const scalar_t* bias,
           Shape s) {
    __shared__ __align__(16) SharedA shared_a;
    __shared__ __align__(16) SharedB shared_b;
    const int taps = s.kernel_h * s.kernel_w, channels = s.channels / s.groups;
    const int rows = s.filters / s.groups, columns = s.images * s.out_h * s.out_w;
    const int end = channels * taps;
    const Block block(rows, columns);
    Sums sums = {};
    Operand<BM, ALONG_K> weights;
    Operand<BN, SPREAD> patches;
    multiply(
        sums, 0, end, weights, patches,
        [&](auto& tile, int start) {
            tile.load([&](int q, Held& held) {
                const int row = block.first_row + tile.row(q, 0), k = start + tile.depth(q, 0);
                const long long from = ((long long)block.group * rows + row) * end + k;
#pragma unroll
                for (int e = 0; e < LOADED; ++e)
                    held[e] = row < rows && k + e < end ? widen(weight[from + e]) : acc_t(0);
            });
        },
        [&](auto& tile, int start) {
            load_windows(tile, start, block, s, channels, columns, s.out_h, s.out_w,
                         [&](int channel, const Position& out, int i, int j) {
                             return looked_at(x, s, channel, out, i, j);
                         });
        },
        shared_a, shared_b);
    write(sums, block, rows, columns, [&](int row, int column, acc_t sum) {
        const int area = s.out_h * s.out_w, filter = block.group * rows + row;
        if (bias) sum += widen(bias[filter]);
        y[plane(column / area, s.filters, filter, area) + column % area] = narrow(sum);
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    conv2d_input_grad(scalar_t* dx, const scalar_t* g, const scalar_t* weight, Shape s) {
    __shared__ __align__(16) SharedA shared_a;
    __shared__ __align__(16) SharedB shared_b;
    const int taps = s.kernel_h * s.kernel_w, filters = s.filters / s.groups;
    const int rows = s.channels / s.groups, columns = s.images * s.height * s.width;
    const int end = filters * taps;
    const Block block(rows, columns);
    Sums sums = {};
    Operand<BM, ALONG_K> weights;
    Operand<BN, SPREAD> gradients;
    multiply(
        sums, 0, end, weights, gradients,
        [&](auto& tile, int start) {
            tile.load([&](int q, Held& held) {
                const int row = block.first_row + tile.row(q, 0);
#pragma unroll
                for (int e = 0; e < LOADED; ++e) {
                    const int k = start + tile.depth(q, e);
                    const long long filter = block.group * filters + k / taps;
                    held[e] = 0;
                    if (row < rows && k < end)
                        held[e] = widen(weight[(filter * rows + row) * taps + k % taps]);
                }
            });
        },
        [&](auto& tile, int start) {
            load_windows(tile, start, block, s, filters, columns, s.height, s.width,
                         [&](int filter, const Position& in, int i, int j) {
                             return looking(g, s, filter, in, i, j);
                         });
        },
        shared_a, shared_b);
    write(sums, block, rows, columns, [&](int row, int column, acc_t sum) {
        const int area = s.height * s.width, channel = block.group * rows + row;
        dx[plane(column / area, s.channels, channel, area) + column % area] = narrow(sum);
    });
}

// grid.y: the parts, of `share` positions each.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    conv2d_weight_grad(acc_t* workspace, const scalar_t* g, const scalar_t* x, Shape s, int share) {
    __shared__ __align__(16) SharedA shared_a;
    __shared__ __align__(16) SharedB shared_b;
    const int taps = s.kernel_h * s.kernel_w, channels = s.channels / s.groups;
    const int rows = s.filters / s.groups, columns = channels * taps;
    const int start = blockIdx.y * share, area = s.out_h * s.out_w;
    const int end = min(start + share, s.images * area);
    const Block block(rows, columns);
    Sums sums = {};
    Operand<BM, ALONG_K> gradients;
    Operand<BN, ALONG_K> patches;
    multiply(
        sums, start, end, gradients, patches,
        [&](auto& tile, int start) {
            tile.load([&](int q, Held& held) {
                const int row = block.first_row + tile.row(q, 0), k = start + tile.depth(q, 0);
                const int filter = block.group * rows + row;
                Position out(k, s.out_h, s.out_w);
#pragma unroll
                for (int e = 0; e < LOADED; ++e, out.next(s.out_h, s.out_w)) {
                    held[e] = 0;
                    if (row >= rows || k + e >= end) continue;
                    const long long from = plane(out.image, s.filters, filter, area);
                    held[e] = widen(g[from + out.y * s.out_w + out.x]);
                }
            });
        },
        [&](auto& tile, int start) {
            tile.load([&](int q, Held& held) {
                const int column = block.first_column + tile.row(q, 0), tap = column % taps;
                const int channel = block.group * channels + column / taps;
                const int k = start + tile.depth(q, 0);
                Position out(k, s.out_h, s.out_w);
#pragma unroll
                for (int e = 0; e < LOADED; ++e, out.next(s.out_h, s.out_w)) {
                    held[e] = 0;
                    if (column >= columns || k + e >= end) continue;
                    held[e] = looked_at(x, s, channel, out, tap / s.kernel_w, tap % s.kernel_w);
                }
            });
        },
        shared_a, shared_b);
    write(sums, block, rows, columns, [&](int row, int column, acc_t sum) {
        const long long filter = block.group * rows + row;
        workspace[((long long)blockIdx.y * s.filters + filter) * columns + column] = sum;
    });
}
