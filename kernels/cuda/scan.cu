// The linear recurrence h_t = a_t h_(t-1) + b_t along the middle axis, and its gradient.
//
// a, b, h, g: (n, steps, m); initial: (n, m). A thread follows one of the n m lines, and keeps its
// state in double; the threads of a warp read elements side by side where m is at least 32.
// Status: emulated.
#include "device.cuh"

// The line of a number: where its first element lies; its elements are m apart.
__device__ __forceinline__ long long start_of(long long line, long long steps, long long m) {
    return line / m * steps * m + line % m;
}

extern "C" __global__ void linear_scan(scalar_t* h, const scalar_t* a, const scalar_t* b,
                                       const scalar_t* initial, long long n, long long steps,
                                       long long m, bool reverse) {
    for (long long line = grid_thread(); line < n * m; line += grid_threads()) {
        const long long stride = reverse ? -m : m;
        long long i = start_of(line, steps, m) + (reverse ? (steps - 1) * m : 0);
        double state = widen(initial[line]);
        for (long long step = 0; step < steps; ++step, i += stride) {
            state = double(widen(a[i])) * state + double(widen(b[i]));
            h[i] = narrow(acc_t(state));
        }
    }
}

// From the last step to the first: db_t = g_t + what step t + 1 hands on, and a_t db_t is handed on.
extern "C" __global__ void linear_scan_backward(scalar_t* da, scalar_t* db, scalar_t* dinitial,
                                                const scalar_t* g, const scalar_t* a,
                                                const scalar_t* h, const scalar_t* initial,
                                                long long n, long long steps, long long m,
                                                bool reverse) {
    for (long long line = grid_thread(); line < n * m; line += grid_threads()) {
        const long long stride = reverse ? -m : m;
        long long i = start_of(line, steps, m) + (reverse ? 0 : (steps - 1) * m);
        double handed_on = 0;
        for (long long step = steps - 1; step >= 0; --step, i -= stride) {
            const double u = double(widen(g[i])) + handed_on;
            const double before = widen(step > 0 ? h[i - stride] : initial[line]);
            db[i] = narrow(acc_t(u));
            da[i] = narrow(acc_t(u * before));
            handed_on = double(widen(a[i])) * u;
        }
        dinitial[line] = narrow(acc_t(handed_on));
    }
}
