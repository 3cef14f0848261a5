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

// velocity = momentum * velocity + grad; param -= lr * velocity, or a look ahead (Nesterov).
extern "C" __global__ void sgd(scalar_t* param, const scalar_t* grad, OPTIONAL acc_t* velocity,
                               acc_t lr, acc_t momentum, bool nesterov, acc_t weight_decay,
                               long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]);
        acc_t g = widen(grad[i]) + weight_decay * p;
        if (velocity) {
            const acc_t v = momentum * velocity[i] + g;
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
extern "C" __global__ void rmsprop(scalar_t* param, const scalar_t* grad, acc_t* v,
                                   OPTIONAL acc_t* velocity, acc_t lr, acc_t alpha, acc_t rest,
                                   acc_t eps, acc_t momentum, acc_t weight_decay, long long n) {
    each(n, [&](long long i) {
        const acc_t p = widen(param[i]), g = widen(grad[i]) + weight_decay * p;
        const acc_t square = alpha * v[i] + rest * (g * g);
        v[i] = square;
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
