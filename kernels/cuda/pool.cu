// Max and average pooling over the planes of images, forward and backward.
//
// x, dx: (planes, H, W); y, g, index: (planes, P, Q); a plane is a channel of an image. All outputs
// are overwritten. In all kernels but max_pool2d_backward a thread computes an output, and
// neighbouring threads read neighbouring windows. index holds the flat place of each maximum in its
// plane: the first of equal ones, and the first NaN if the window has one. Padding is never a
// maximum; in an average it counts as zeros, and in the divisor.
// Status: emulated.
#include "device.cuh"

struct Window {
    int height, width, out_h, out_w;
    int size_h, size_w, stride_h, stride_w, padding_h, padding_w;
};

// The first input row (or column) of a window, and one past its last, inside the image.
__device__ __forceinline__ int first(int out, int stride, int padding) {
    return max(0, out * stride - padding);
}
__device__ __forceinline__ int past(int out, int stride, int padding, int size, int length) {
    return min(length, out * stride - padding + size);
}

// f(i, plane, row, column) for each of `count` elements i of planes of this height and width.
template <class F>
__device__ __forceinline__ void each(long long count, int height, int width, F f) {
    for (long long i = grid_thread(); i < count; i += grid_threads())
        f(i, i / (height * width), int(i / width % height), int(i % width));
}

extern "C" __global__ void max_pool2d(scalar_t* y, long long* index, const scalar_t* x, Window w,
                                      long long outputs) {
    each(outputs, w.out_h, w.out_w, [&](long long out, long long plane, int p, int q) {
        const int top = first(p, w.stride_h, w.padding_h), left = first(q, w.stride_w, w.padding_w);
        const int bottom = past(p, w.stride_h, w.padding_h, w.size_h, w.height);
        const int right = past(q, w.stride_w, w.padding_w, w.size_w, w.width);
        const scalar_t* pixels = x + plane * w.height * w.width;
        int place = top * w.width + left;
        acc_t best = widen(pixels[place]);
        for (int i = top; i < bottom; ++i)
            for (int j = left; j < right; ++j) {
                const acc_t value = widen(pixels[i * w.width + j]);
                if (value > best || (value != value && best == best)) {
                    best = value;
                    place = i * w.width + j;
                }
            }
        y[out] = narrow(best);
        index[out] = place;
    });
}

// dx: g added up at the places that max_pool2d chose; windows may overlap. The block of a plane
// works in rounds. In each, every place goes to the lowest of the outputs that have chosen it and
// have not been added yet, which integer atomics find the same way every time, and that output adds
// its gradient. sums, last and next are workspaces with an element for each input; the sums are in
// double, since many windows may have chosen one place.
extern "C" __global__ void max_pool2d_backward(scalar_t* dx, double* sums, int* last, int* next,
                                               const scalar_t* g, const long long* index,
                                               int inputs, int outputs) {
    __shared__ int wanted;
    const long long in = (long long)blockIdx.x * inputs, out = (long long)blockIdx.x * outputs;
    for (int i = threadIdx.x; i < inputs; i += blockDim.x) {
        sums[in + i] = 0;
        last[in + i] = -1;
        next[in + i] = outputs;
    }
    if (threadIdx.x == 0) wanted = 0;
    __syncthreads();
    while (true) {
        for (int k = threadIdx.x; k < outputs; k += blockDim.x) {
            const long long place = in + index[out + k];
            if (k <= last[place]) continue;
            atomicMin(&next[place], k);
            atomicMax(&wanted, 1);
        }
        __syncthreads();
        if (!wanted) break;
        for (int k = threadIdx.x; k < outputs; k += blockDim.x) {
            const long long place = in + index[out + k];
            if (next[place] != k) continue;
            sums[place] += widen(g[out + k]);
            last[place] = k;
        }
        __syncthreads();
        for (int k = threadIdx.x; k < outputs; k += blockDim.x) {
            const long long place = in + index[out + k];
            if (last[place] == k) next[place] = outputs;
        }
        if (threadIdx.x == 0) wanted = 0;
        __syncthreads();
    }
    for (int i = threadIdx.x; i < inputs; i += blockDim.x) dx[in + i] = narrow(acc_t(sums[in + i]));
}

// y = x at index, plane by plane.
extern "C" __global__ void max_pool2d_gather(scalar_t* y, const scalar_t* x, const long long* index,
                                             long long inputs, long long outputs, long long count) {
    for (long long i = grid_thread(); i < count; i += grid_threads())
        y[i] = x[i / outputs * inputs + index[i]];
}

extern "C" __global__ void avg_pool2d(scalar_t* y, const scalar_t* x, Window w, long long outputs) {
    each(outputs, w.out_h, w.out_w, [&](long long out, long long plane, int p, int q) {
        const scalar_t* pixels = x + plane * w.height * w.width;
        const int bottom = past(p, w.stride_h, w.padding_h, w.size_h, w.height);
        const int right = past(q, w.stride_w, w.padding_w, w.size_w, w.width);
        LongSum total;
        for (int i = first(p, w.stride_h, w.padding_h); i < bottom; ++i)
            for (int j = first(q, w.stride_w, w.padding_w); j < right; ++j)
                total.add(widen(pixels[i * w.width + j]));
        y[out] = narrow(total.value() / (w.size_h * w.size_w));
    });
}

// The first window that an input lies in, and one past the last.
__device__ __forceinline__ int first_window(int in, int stride, int padding, int size) {
    const int start = in + padding - size + 1;
    return start > 0 ? (start + stride - 1) / stride : 0;
}
__device__ __forceinline__ int past_window(int in, int stride, int padding, int windows) {
    return min((in + padding) / stride + 1, windows);
}

extern "C" __global__ void avg_pool2d_backward(scalar_t* dx, const scalar_t* g, Window w,
                                               long long inputs) {
    each(inputs, w.height, w.width, [&](long long in, long long plane, int y, int x) {
        const scalar_t* gradients = g + plane * w.out_h * w.out_w;
        const int bottom = past_window(y, w.stride_h, w.padding_h, w.out_h);
        const int right = past_window(x, w.stride_w, w.padding_w, w.out_w);
        LongSum total;
        for (int p = first_window(y, w.stride_h, w.padding_h, w.size_h); p < bottom; ++p)
            for (int q = first_window(x, w.stride_w, w.padding_w, w.size_w); q < right; ++q)
                total.add(widen(gradients[p * w.out_w + q]));
        dx[in] = narrow(total.value() / (w.size_h * w.size_w));
    });
}
