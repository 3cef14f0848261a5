// ldmatrix and mma.sync: operations on matrices that are spread over the registers of a warp.
//
// The layouts are those of the PTX ISA, "Matrix fragments for mma.m16n8k16" and "ldmatrix". Lane l
// has row l / 4 of a fragment of 8 rows, and in it the word l % 4, of 32 bits: two half-precision
// elements, or one of tf32.
#include <cmath>
#include <cstring>

#include "runtime.hpp"

namespace emulator {
namespace {

struct Load {
    const void* row;
    uint32_t* registers;
    bool transposed;
};

// Lane 8 m + r says where row r of matrix m is; lane l gets 32 bits of each matrix.
void load_matrices(const uint64_t* values) {
    const auto load = [&](uint32_t lane) { return reinterpret_cast<const Load*>(values[lane]); };
    for (uint32_t lane = 0; lane < WARP; ++lane)
        for (uint32_t matrix = 0; matrix < 4; ++matrix) {
            uint16_t halves[2];
            for (uint32_t i = 0; i < 2; ++i) {
                uint32_t row = lane / 4, column = lane % 4 * 2 + i;
                if (load(lane)->transposed) std::swap(row, column);
                memcpy(&halves[i], static_cast<const uint16_t*>(load(matrix * 8 + row)->row) + column, 2);
            }
            memcpy(&load(lane)->registers[matrix], halves, 4);
        }
}

struct Product {
    float* const* sums;
    const uint32_t *a, *b;
    EmulatorOperand operand;
    const void* site;
};

// sums (16, 8) += A (16, k) B (k, 8), k 16 or, for tf32, 8. Sums are float32, in the order of k.
void multiply(const uint64_t* values) {
    const auto of = [&](uint32_t lane) { return reinterpret_cast<const Product*>(values[lane]); };
    const EmulatorOperand operand = of(0)->operand;
    const uint32_t packed = operand == EMULATOR_TF32 ? 1 : 2, depth = 8 * packed;
    float a[16][16], b[16][8];
    for (uint32_t lane = 0; lane < WARP; ++lane) {
        const uint32_t row = lane / 4, k = lane % 4 * packed;
        for (uint32_t i = 0; i < packed; ++i) {
            const auto number = [&](uint32_t bits) {
                return operand_value(operand, bits >> 16 * i, of(lane)->site);
            };
            for (uint32_t half = 0; half < 2; ++half) {
                const uint32_t at = k + i + half * depth / 2;
                a[row][at] = number(of(lane)->a[2 * half]);
                a[row + 8][at] = number(of(lane)->a[2 * half + 1]);
                b[at][row] = number(of(lane)->b[half]);
            }
        }
    }
    for (uint32_t lane = 0; lane < WARP; ++lane)
        for (uint32_t i = 0; i < 4; ++i) {
            const uint32_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float sum = *of(lane)->sums[i];
            for (uint32_t k = 0; k < depth; ++k) sum += a[row][k] * b[k][column];
            *of(lane)->sums[i] = sum;
        }
}

float from_half(uint16_t bits) {
    const uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * std::ldexp(float(fraction), -24);
    return sign * std::ldexp(float(fraction | 1024), int(exponent) - 25);
}

}  // namespace

float operand_value(EmulatorOperand operand, uint32_t bits, const void* site) {
    if (operand == EMULATOR_FLOAT16) {
        static const std::vector<float> table = [] {
            std::vector<float> values(1 << 16);
            for (uint32_t i = 0; i < values.size(); ++i) values[i] = from_half(uint16_t(i));
            return values;
        }();
        return table[bits & 0xFFFF];
    }
    if (operand == EMULATOR_BFLOAT16) bits <<= 16;
    float value;
    memcpy(&value, &bits, 4);
    if (operand == EMULATOR_TF32 && (bits & 0x1FFF) && std::isfinite(value))
        fail("mma at " + site_text(site) + " of a number that is not rounded to tf32");
    return value;
}

}  // namespace emulator

using namespace emulator;
#define CALLER __builtin_return_address(0)

void emulator_load_matrices(uint32_t* registers, const void* row, bool transposed) {
    if (uintptr_t(row) % 16) fail("ldmatrix at " + site_text(CALLER) + " of a misaligned row");
    if (launch.checked) checker_touch(row, 16, false, false, CALLER);
    const Load load{row, registers, transposed};
    with_whole_warp(WarpOperation::LOAD_MATRICES, reinterpret_cast<uint64_t>(&load), CALLER,
                    load_matrices);
}

void emulator_multiply(float* const* sums, const uint32_t* a, const uint32_t* b,
                       EmulatorOperand operand) {
    const Product product{sums, a, b, operand, CALLER};
    with_whole_warp(WarpOperation::MULTIPLY, reinterpret_cast<uint64_t>(&product), CALLER, multiply);
}
