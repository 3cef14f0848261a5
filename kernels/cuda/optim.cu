// Optimizer steps over flat parameters, in place on the parameter and on the state beside it.
//
// param and grad hold scalar_t, the state acc_t. Each element is read once and written once, so
// memory bandwidth bounds the time. The formulas are PyTorch's; the launcher computes the factors
// that are the same for all elements, among them the bias corrections.
// Status: emulated.
#include "device.cuh"

// f(i) for each element; neighbouring threads take neighbours, so that a warp reads 128 bytes at
// once.
template <class F> __device__ __forceinline__ void each(long long n, F f) {
    for (long long i = grid_thread(); i < n; i += grid_threads()) f(i);
}

// velocity = momentum * velocity + rest * grad; param -= lr * velocity, or a look ahead (Nesterov).
extern "C" __global__ void sgd(scalar_t* param, const scalar_t* grad, OPTIONAL acc_t* velocity,
                               acc_t lr, acc_t momentum, acc_t rest, bool nesterov,
                               acc_t weight_decay, long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]);
        acc_t g = widen(grad[i]) + weight_decay * p;
        if (velocity) {
            const acc_t v = momentum * velocity[i] + rest * g;
            velocity[i] = v;
            g = nesterov ? g + momentum * v : v;
        }
        param[i] = narrow(p - lr * g);
    });
}

// m, v: running means of grad and grad^2. step = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t);
// `decay` is added to the gradient (Adam), `shrink` times param to the step (AdamW). `largest`
// keeps the largest v so far, which takes its place (AMSGrad).
extern "C" __global__ void adam(scalar_t* param, const scalar_t* grad, acc_t* m, acc_t* v,
                                OPTIONAL acc_t* largest, acc_t step, acc_t root, acc_t beta1,
                                acc_t rest1, acc_t beta2, acc_t rest2, acc_t eps, acc_t decay,
                                acc_t shrink, long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]) + decay * p;
        const acc_t first = beta1 * m[i] + rest1 * g;
        acc_t second = beta2 * v[i] + rest2 * (g * g);
        m[i] = first;
        v[i] = second;
        if (largest) {
            const acc_t before = largest[i];
            second = before > second ? before : second;  // NaN in v is kept
            largest[i] = second;
        }
        param[i] = narrow(p - (step * first / (sqrt(second) * root + eps) + shrink * p));
    });
}

// v = alpha * v + (1 - alpha) * grad^2; param -= lr * grad / (sqrt(v) + eps), with a velocity.
// With a running mean of grad, the variance v - mean^2 takes the place of v.
extern "C" __global__ void rmsprop(scalar_t* param, const scalar_t* grad, acc_t* v,
                                   OPTIONAL acc_t* velocity, OPTIONAL acc_t* mean, acc_t lr,
                                   acc_t alpha, acc_t rest, acc_t eps, acc_t momentum,
                                   acc_t weight_decay, long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]) + weight_decay * p;
        acc_t square = alpha * v[i] + rest * (g * g);
        v[i] = square;
        if (mean) {
            const acc_t before = mean[i], first = before + rest * (g - before);
            mean[i] = first;
            square -= first * first;
            square = 0 > square ? acc_t(0) : square;  // by rounding
        }
        acc_t update = g / (sqrt(square) + eps);
        if (velocity) {
            update += momentum * velocity[i];
            velocity[i] = update;
        }
        param[i] = narrow(p - lr * update);
    });
}

// s += grad^2; param -= lr * grad / (sqrt(s) + eps).
extern "C" __global__ void adagrad(scalar_t* param, const scalar_t* grad, acc_t* s, acc_t lr,
                                   acc_t eps, acc_t weight_decay, long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]) + weight_decay * p;
        const acc_t sum = s[i] + g * g;
        s[i] = sum;
        param[i] = narrow(p - lr * g / (sqrt(sum) + eps));
    });
}

// NAdam and RAdam: param -= (size * m + ahead * grad) / (scale * sqrt(v) + eps) + shrink * param.
// With a scale of 0, v does not count.
extern "C" __global__ void nadam(scalar_t* param, const scalar_t* grad, acc_t* m, acc_t* v,
                                 acc_t size, acc_t ahead, acc_t beta1, acc_t rest1, acc_t beta2,
                                 acc_t rest2, acc_t scale, acc_t eps, acc_t decay, acc_t shrink,
                                 long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]) + decay * p;
        const acc_t first = beta1 * m[i] + rest1 * g;
        const acc_t second = beta2 * v[i] + rest2 * (g * g);
        m[i] = first;
        v[i] = second;
        const acc_t under = scale != 0 ? scale * sqrt(second) + eps : eps;
        param[i] = narrow(p - ((size * first + ahead * g) / under + shrink * p));
    });
}

// largest = max(beta2 * largest, |grad| + eps); param -= size * m / largest.
extern "C" __global__ void adamax(scalar_t* param, const scalar_t* grad, acc_t* m, acc_t* largest,
                                  acc_t size, acc_t beta1, acc_t rest1, acc_t beta2, acc_t eps,
                                  acc_t decay, long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]) + decay * p;
        const acc_t first = beta1 * m[i] + rest1 * g;
        const acc_t before = beta2 * largest[i], now = (0 > g ? -g : g) + eps;
        const acc_t peak = before > now || before != before ? before : now;  // NaN is kept
        m[i] = first;
        largest[i] = peak;
        param[i] = narrow(p - size * first / peak);
    });
}

// update = sqrt(delta + eps) / sqrt(v + eps) * grad; param -= lr * update.
extern "C" __global__ void adadelta(scalar_t* param, const scalar_t* grad, acc_t* v, acc_t* delta,
                                    acc_t lr, acc_t rho, acc_t rest, acc_t eps, acc_t decay,
                                    long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]) + decay * p;
        const acc_t square = rho * v[i] + rest * (g * g), before = delta[i];
        const acc_t update = sqrt(before + eps) / sqrt(square + eps) * g;
        v[i] = square;
        delta[i] = rho * before + rest * (update * update);
        param[i] = narrow(p - lr * update);
    });
}

// -1, 0 or 1; NaN of NaN.
__device__ __forceinline__ acc_t sign_of(acc_t x) {
    return x > 0 ? acc_t(1) : 0 > x ? acc_t(-1) : x;
}

// size *= more, or less where the sign of grad has changed, and then grad counts as 0;
// param -= size * sign(grad).
extern "C" __global__ void rprop(scalar_t* param, const scalar_t* grad, acc_t* before, acc_t* size,
                                 acc_t less, acc_t more, acc_t least, acc_t most, long long n) {
    each(n, [&](long long i) {
        acc_t g = widen(grad[i]), s = size[i];
        const acc_t sign = sign_of(g) * sign_of(before[i]);
        s *= sign > 0 ? more : 0 > sign ? less : acc_t(1);
        s = least > s ? least : s > most ? most : s;
        if (0 > sign) g = 0;
        size[i] = s;
        before[i] = g;
        param[i] = narrow(widen(param[i]) - sign_of(g) * s);
    });
}

// param -= lr * (sign(beta1 * m + rest1 * grad) + decay * param), then m = beta2 * m + rest2 * grad.
extern "C" __global__ void lion(scalar_t* param, const scalar_t* grad, acc_t* m, acc_t lr,
                                acc_t beta1, acc_t rest1, acc_t beta2, acc_t rest2, acc_t decay,
                                long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]), before = m[i];
        m[i] = beta2 * before + rest2 * g;
        param[i] = narrow(p - lr * (sign_of(beta1 * before + rest1 * g) + decay * p));
    });
}

// m, v, n: running means of grad, of its change since `before`, and of (grad + beta2 * change)^2.
// param = kept * (param - (size * m + ahead * v) / (sqrt(n) + eps)).
extern "C" __global__ void adan(scalar_t* param, const scalar_t* grad, acc_t* m, acc_t* v, acc_t* n,
                                acc_t* before, acc_t size, acc_t ahead, acc_t beta1,
                                acc_t rest1, acc_t beta2, acc_t rest2, acc_t beta3, acc_t rest3,
                                acc_t eps, acc_t kept, bool is_first, long long count) {
    each(count, [&](long long i) {
        const acc_t g = widen(grad[i]), change = is_first ? acc_t(0) : g - before[i];
        const acc_t look = g + beta2 * change;
        const acc_t first = beta1 * m[i] + rest1 * g, moved = beta2 * v[i] + rest2 * change;
        const acc_t square = beta3 * n[i] + rest3 * (look * look);
        m[i] = first;
        v[i] = moved;
        n[i] = square;
        before[i] = g;
        const acc_t update = (size * first + ahead * moved) / (sqrt(square) + eps);
        param[i] = narrow(kept * (widen(param[i]) - update));
    });
}
