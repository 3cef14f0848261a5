// One step of a recurrent layer: the gates, the new state and the output in one pass, and back.
//
// Arrays over time are (N, T, ...) and a launch works on step t; states and products of a step are
// (N, ...). A forward step gets `product`, h U of the state before, (N, G H). A backward step gets
// the gradient of h' from the step after it in two parts: `product` came through U, and `carry`
// past it. Each thread has a unit of a sequence, neighbouring threads neighbouring units. Beyond
// the length of a sequence its state does not change, and its outputs and gradients are 0. The
// products of matrices in between are linalg.cu's.
// Status: emulated.
#include "activation.cuh"

struct Step {
    int sequences, steps, units, t, reverse;
};

// The unit of a sequence that a thread works on.
struct Unit {
    int n, u;
    bool inside, live, first;  // first: the state before this step is the given one
    long long place, state;    // in (N, T, H) and in (N, H)

    __device__ __forceinline__ Unit(const Step& s, const long long* lengths) {
        const long long thread = grid_thread();
        n = int(thread / s.units);
        u = int(thread % s.units);
        inside = n < s.sequences;
        if (!inside) return;
        const long long length = lengths ? lengths[n] : s.steps;
        live = s.t < length;
        first = s.reverse ? s.t + 1 >= length : s.t == 0;
        place = ((long long)n * s.steps + s.t) * s.units + u;
        state = thread;
    }
    // Its place in block b of `blocks` blocks of H elements: in (N, T, blocks H), (N, blocks H).
    __device__ __forceinline__ long long in_time(const Step& s, int blocks, int b) const {
        return ((place - u) / s.units * blocks + b) * s.units + u;
    }
    __device__ __forceinline__ long long in_step(const Step& s, int blocks, int b) const {
        return ((long long)n * blocks + b) * s.units + u;
    }
    // The state before this step: from `states` (N, T, H), or the given first one, null for zeros.
    __device__ __forceinline__ acc_t before(const scalar_t* states, const scalar_t* start,
                                            const Step& s) const {
        if (first) return start ? start[state] : acc_t(0);
        return states[place + (s.reverse ? s.units : -s.units)];
    }
};

// The states before every step: (N, T, H).
extern "C" __global__ void states_before(scalar_t* before, const scalar_t* states,
                                         OPTIONAL const scalar_t* start,
                                         OPTIONAL const long long* lengths, Step s,
                                         long long count) {
    for (long long i = grid_thread(); i < count; i += grid_threads()) {
        const int u = int(i % s.units), t = int(i / s.units % s.steps);
        const long long n = i / s.units / s.steps, length = lengths ? lengths[n] : s.steps;
        const bool first = s.reverse ? t + 1 >= length : t == 0;
        if (first) before[i] = start ? start[n * s.units + u] : acc_t(0);
        else before[i] = states[i + (s.reverse ? s.units : -s.units)];
    }
}

// h' = tanh(x W + b + h U), or relu.
extern "C" __global__ void rnn_step(scalar_t* out, scalar_t* h, const scalar_t* inputs,
                                    const scalar_t* product, OPTIONAL const long long* lengths,
                                    bool relu, Step s) {
    const Unit unit(s, lengths);
    if (!unit.inside) return;
    const acc_t a = inputs[unit.place] + product[unit.state];
    const acc_t state = relu ? positive_part(a) : acc_t(tanh(a));
    out[unit.place] = unit.live ? state : acc_t(0);
    if (unit.live) h[unit.state] = state;
}

extern "C" __global__ void rnn_step_backward(scalar_t* da, scalar_t* step, scalar_t* carry,
                                             OPTIONAL const scalar_t* product, const scalar_t* dout,
                                             const scalar_t* out, OPTIONAL const long long* lengths,
                                             bool relu, Step s) {
    const Unit unit(s, lengths);
    if (!unit.inside) return;
    const acc_t dh = carry[unit.state] + (product ? product[unit.state] : acc_t(0));
    acc_t gradient = 0;
    if (unit.live) {
        const acc_t y = out[unit.place];
        gradient = (dh + dout[unit.place]) * (relu ? acc_t(y > 0) : 1 - y * y);
    }
    da[unit.place] = step[unit.state] = gradient;
    carry[unit.state] = unit.live ? acc_t(0) : dh;
}

// i, f, o = sigmoid, g = tanh of x W + b + h U; c' = f c + i g; h' = o tanh(c'). `gates` holds x W
// + b and is replaced by i, f, o, g.
extern "C" __global__ void lstm_step(scalar_t* out, scalar_t* h, scalar_t* c, scalar_t* gates,
                                     scalar_t* cells, const scalar_t* product,
                                     OPTIONAL const long long* lengths, Step s) {
    const Unit unit(s, lengths);
    if (!unit.inside) return;
    acc_t gate[4];
#pragma unroll
    for (int b = 0; b < 4; ++b) {
        const acc_t a = gates[unit.in_time(s, 4, b)] + product[unit.in_step(s, 4, b)];
        gate[b] = b == 3 ? acc_t(tanh(a)) : logistic(a);
        gates[unit.in_time(s, 4, b)] = gate[b];
    }
    const acc_t cell = gate[1] * c[unit.state] + gate[0] * gate[3];
    const acc_t state = gate[2] * acc_t(tanh(cell));
    cells[unit.place] = cell;
    out[unit.place] = unit.live ? state : acc_t(0);
    if (unit.live) {
        h[unit.state] = state;
        c[unit.state] = cell;
    }
}

extern "C" __global__ void lstm_step_backward(scalar_t* da, scalar_t* step, scalar_t* carry,
                                              scalar_t* dc, OPTIONAL const scalar_t* product,
                                              const scalar_t* dout, const scalar_t* gates,
                                              const scalar_t* cells, OPTIONAL const scalar_t* c0,
                                              OPTIONAL const long long* lengths, Step s) {
    const Unit unit(s, lengths);
    if (!unit.inside) return;
    const acc_t dh = carry[unit.state] + (product ? product[unit.state] : acc_t(0));
    acc_t gradients[4] = {};
    if (unit.live) {
        const acc_t i = gates[unit.in_time(s, 4, 0)], f = gates[unit.in_time(s, 4, 1)];
        const acc_t o = gates[unit.in_time(s, 4, 2)], g = gates[unit.in_time(s, 4, 3)];
        const acc_t tanh_c = tanh(acc_t(cells[unit.place])), dnew = dh + dout[unit.place];
        const acc_t dcell = dc[unit.state] + dnew * o * (1 - tanh_c * tanh_c);
        gradients[0] = dcell * g * i * (1 - i);
        gradients[1] = dcell * unit.before(cells, c0, s) * f * (1 - f);
        gradients[2] = dnew * tanh_c * o * (1 - o);
        gradients[3] = dcell * i * (1 - g * g);
        dc[unit.state] = dcell * f;
    }
#pragma unroll
    for (int b = 0; b < 4; ++b)
        da[unit.in_time(s, 4, b)] = step[unit.in_step(s, 4, b)] = gradients[b];
    carry[unit.state] = unit.live ? acc_t(0) : dh;
}

// r, z = sigmoid(x W + b + h U); s = h U_n + c_n; n = tanh(x W_n + b_n + r s); h' = n + z (h - n).
// inputs: x W + b (N, T, 3 H); gates: r, z, n, s. hidden_bias: c_n.
extern "C" __global__ void gru_step(scalar_t* out, scalar_t* h, scalar_t* gates,
                                    const scalar_t* inputs, const scalar_t* product,
                                    const scalar_t* hidden_bias, OPTIONAL const long long* lengths,
                                    Step s) {
    const Unit unit(s, lengths);
    if (!unit.inside) return;
    const acc_t r = logistic(inputs[unit.in_time(s, 3, 0)] + product[unit.in_step(s, 3, 0)]);
    const acc_t z = logistic(inputs[unit.in_time(s, 3, 1)] + product[unit.in_step(s, 3, 1)]);
    const acc_t hidden = product[unit.in_step(s, 3, 2)] + hidden_bias[unit.u];
    const acc_t n = tanh(acc_t(inputs[unit.in_time(s, 3, 2)] + r * hidden));
    const acc_t state = n + z * (h[unit.state] - n);
    gates[unit.in_time(s, 4, 0)] = r;
    gates[unit.in_time(s, 4, 1)] = z;
    gates[unit.in_time(s, 4, 2)] = n;
    gates[unit.in_time(s, 4, 3)] = hidden;
    out[unit.place] = unit.live ? state : acc_t(0);
    if (unit.live) h[unit.state] = state;
}

// The gradients with respect to x W + b (at_input) and to h U with c_n (at_hidden): (N, T, 3 H).
extern "C" __global__ void gru_step_backward(scalar_t* at_input, scalar_t* at_hidden, scalar_t* step,
                                             scalar_t* carry, OPTIONAL const scalar_t* product,
                                             const scalar_t* dout, const scalar_t* gates,
                                             const scalar_t* out, OPTIONAL const scalar_t* h0,
                                             OPTIONAL const long long* lengths, Step s) {
    const Unit unit(s, lengths);
    if (!unit.inside) return;
    const acc_t dh = carry[unit.state] + (product ? product[unit.state] : acc_t(0));
    acc_t dr = 0, dz = 0, dn = 0, ds = 0, passed = dh;
    if (unit.live) {
        const acc_t r = gates[unit.in_time(s, 4, 0)], z = gates[unit.in_time(s, 4, 1)];
        const acc_t n = gates[unit.in_time(s, 4, 2)], hidden = gates[unit.in_time(s, 4, 3)];
        const acc_t dnew = dh + dout[unit.place];
        dn = dnew * (1 - z) * (1 - n * n);
        ds = dn * r;
        dr = dn * hidden * r * (1 - r);
        dz = dnew * (unit.before(out, h0, s) - n) * z * (1 - z);
        passed = dnew * z;
    }
    at_input[unit.in_time(s, 3, 0)] = dr;
    at_input[unit.in_time(s, 3, 1)] = dz;
    at_input[unit.in_time(s, 3, 2)] = dn;
    at_hidden[unit.in_time(s, 3, 0)] = step[unit.in_step(s, 3, 0)] = dr;
    at_hidden[unit.in_time(s, 3, 1)] = step[unit.in_step(s, 3, 1)] = dz;
    at_hidden[unit.in_time(s, 3, 2)] = step[unit.in_step(s, 3, 2)] = ds;
    carry[unit.state] = passed;
}
