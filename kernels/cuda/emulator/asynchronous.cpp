// mbarriers, tensor copies (TMA) and products of a warpgroup (wgmma): work beside the threads.
//
// A copy lands, and a product is formed, as late as is allowed: a copy when no thread can go on
// without it, a product when the warpgroup waits for it. In schedules with bit 3 copies land at
// once. Until then the destination holds NaN. For the checker each mbarrier is an agent, whose
// clock is the number of its phase, and so is each warp's part in the products, whose clock is the
// number of their group.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>

#include "runtime.hpp"

namespace emulator {
namespace {

struct Barrier {
    uint32_t arrivals, missing, phase;  // phase: how many have completed
    int64_t bytes;                      // that are still to come in this phase
    uint32_t agent, initialised_by;
    bool fenced;
    const void* site;
    Clocks arriving, released;
};

struct TensorCopy {
    char* to;
    const EmulatorTensorMap* map;
    Barrier* barrier;
    const void* address;  // of the barrier
    int at[3];
};

struct WarpgroupProduct {
    uint64_t a, b;
    uint32_t columns;
    bool a_across, b_across;
    EmulatorOperand operand;
    float* sums[WARPGROUP];
    uint32_t threads;  // that have issued it
    const void* site;
};
typedef std::vector<std::shared_ptr<WarpgroupProduct>> Group;

struct Warpgroup {
    std::deque<Group> groups;  // the open one last
    uint32_t completed = 0, waiting = 0;
};

struct Issued {  // by one thread
    uint32_t committed = 0, in_group = 0;
    bool fenced = false;
    uint32_t agent = 0;  // of its warp
    std::map<float*, std::vector<float>> saved;  // sums whose registers must not be read now
};

std::map<const void*, std::unique_ptr<Barrier>> barriers;
std::deque<TensorCopy> copies;
std::vector<Warpgroup> warpgroups;
std::vector<Issued> issued;

Barrier& barrier_at(uint64_t* address, const void* site) {
    if (launch.checked) checker_touch(address, 8, false, true, site);
    const auto found = barriers.find(address);
    if (found == barriers.end()) fail("mbarrier at " + site_text(site) + " is not initialised");
    return *found->second;
}

void complete_if_all_came(Barrier& barrier, const void* address) {
    if (barrier.missing || barrier.bytes) return;
    ++barrier.phase;
    barrier.missing = barrier.arrivals;
    if (launch.checked) {
        checker_agent_done(barrier.arriving, barrier.agent, barrier.phase);
        barrier.released = barrier.arriving;
    }
    make_ready(State::AT_MBARRIER, address);
}

uint32_t swizzled(uint32_t address, bool swizzle) {
    return swizzle ? address ^ ((address >> 7 & 7) << 4) : address;
}

// f(destination, source, bytes inside the tensor, bytes) for each piece of at most 16 bytes.
template <class F> void each_piece(const TensorCopy& copy, F f) {
    const EmulatorTensorMap& map = *copy.map;
    const uint32_t start = emulator_shared_address(copy.to), row = map.box[0] * map.element;
    const uint32_t step = std::min<uint32_t>(16, row);
    for (uint32_t z = 0; z < map.box[2]; ++z)
        for (uint32_t y = 0; y < map.box[1]; ++y)
            for (uint32_t byte = 0; byte < row; byte += step) {
                const uint32_t flat = (z * map.box[1] + y) * row + byte;
                const int64_t at[3] = {copy.at[0] + int64_t(byte / map.element), copy.at[1] + int64_t(y),
                                       copy.at[2] + int64_t(z)};
                bool inside = true;
                for (int axis = 1; axis < 3; ++axis)
                    inside &= at[axis] >= 0 && at[axis] < int64_t(map.sizes[axis]);
                const int64_t left = (int64_t(map.sizes[0]) - at[0]) * map.element;
                const size_t bytes = inside && at[0] >= 0 ? std::clamp<int64_t>(left, 0, step) : 0;
                const char* from = map.base + at[0] * map.element + at[1] * map.strides[1] +
                                   at[2] * map.strides[2];
                f(emulator_dynamic_shared + swizzled(start + flat, map.swizzled), from, bytes, step);
            }
}

void land(const TensorCopy& copy) {
    int64_t total = 0;
    each_piece(copy, [&](char* to, const char* from, size_t bytes, size_t step) {
        memset(to, 0, step);
        memcpy(to, from, bytes);
        total += step;
    });
    copy.barrier->bytes -= total;
    complete_if_all_came(*copy.barrier, copy.address);
}

// Reads an operand of a product by its descriptor: rows of A, or columns of B, 16 k of each.
void gather(float (*into)[16], uint32_t rows, uint64_t descriptor, bool across,
            const WarpgroupProduct& product) {
    if (descriptor >> 62 != 1)
        fail("wgmma at " + site_text(product.site) + ": its descriptor is not 128-byte swizzled");
    const uint32_t start = (descriptor & 0x3FFF) << 4, leading = (descriptor >> 16 & 0x3FFF) << 4;
    const uint32_t stride = (descriptor >> 32 & 0x3FFF) << 4;
    for (uint32_t row = 0; row < rows; ++row)
        for (uint32_t k = 0; k < 16; ++k) {
            const uint32_t at = start + (across ? row / 64 * leading + row % 64 * 2 + k / 8 * stride +
                                                      k % 8 * 128
                                                : row / 8 * stride + row % 8 * 128 + k * 2);
            const uint32_t place = swizzled(at, true);
            if (place + 2 > launch.dynamic_shared)
                fail("wgmma at " + site_text(product.site) + " reads beyond shared memory");
            uint16_t bits;
            memcpy(&bits, emulator_dynamic_shared + place, 2);
            into[row][k] = operand_value(product.operand, bits, product.site);
        }
}

// Tells the checker that a warp's part of a product reads the bytes of these rows of an operand.
void note_reads(uint32_t first, uint32_t rows, uint64_t descriptor, bool across,
                const WarpgroupProduct& product, uint32_t agent, uint32_t clock) {
    const uint32_t start = (descriptor & 0x3FFF) << 4, leading = (descriptor >> 16 & 0x3FFF) << 4;
    const uint32_t stride = (descriptor >> 32 & 0x3FFF) << 4;
    const auto note = [&](uint32_t at) {
        checker_agent_touch(agent, clock, emulator_dynamic_shared + swizzled(at, true), 16, false,
                            product.site);
    };
    for (uint32_t row = first; row < first + rows; row += across ? 8 : 1)
        for (uint32_t k = 0; k < 16; k += across ? 1 : 8)
            note(start + (across ? row / 64 * leading + row % 64 * 2 + k / 8 * stride + k % 8 * 128
                                 : row / 8 * stride + row % 8 * 128 + k * 2));
}

void form(const WarpgroupProduct& product, uint32_t first) {
    static float a[64][16], b[256][16];
    gather(a, 64, product.a, product.a_across, product);
    gather(b, product.columns, product.b, product.b_across, product);
    for (uint32_t thread = 0; thread < WARPGROUP; ++thread) {
        float* sums = product.sums[thread];
        std::vector<float>& saved = issued[first + thread].saved[sums];
        for (uint32_t i = 0; i < product.columns / 2; ++i) {
            const uint32_t row = thread / WARP * 16 + thread % WARP / 4 + i / 2 % 2 * 8;
            const uint32_t column = i / 4 * 8 + thread % 4 * 2 + i % 2;
            float sum = saved[i];
            for (uint32_t k = 0; k < 16; ++k) sum += a[row][k] * b[column][k];
            saved[i] = sum;
        }
    }
}

Warpgroup& own_group() { return warpgroups[running()->thread.number / WARPGROUP]; }

}  // namespace

void asynchronous_begin_block() {
    barriers.clear();
    copies.clear();
    warpgroups.assign((fibers.size() + WARPGROUP - 1) / WARPGROUP, Warpgroup());
    issued.assign(fibers.size(), Issued());
}

bool asynchronous_progress() {
    if (copies.empty()) return false;
    const bool last = launch.schedule & FALLING;  // copies complete in any order
    const TensorCopy copy = last ? copies.back() : copies.front();
    last ? copies.pop_back() : copies.pop_front();
    land(copy);
    return true;
}

void asynchronous_end_thread() {
    const Issued& mine = issued[running()->thread.number];
    if (!mine.saved.empty()) fail("it returns while products of its warpgroup are in flight");
}

void asynchronous_end_block() {
    if (!copies.empty()) fail("the block ends while a tensor copy is in flight");
}

std::string mbarrier_text(const void* address) {
    const Barrier& barrier = *barriers.at(address);
    char text[160];
    snprintf(text, sizeof text,
             " (phase %u of the mbarrier initialised at %s: %u arrivals and %lld bytes are missing)",
             barrier.phase, site_text(barrier.site).c_str(), barrier.missing,
             static_cast<long long>(barrier.bytes));
    return text;
}

}  // namespace emulator

using namespace emulator;
#define CALLER __builtin_return_address(0)

void emulator_mbarrier_init(uint64_t* address, uint32_t arrivals) {
    if (launch.checked) checker_touch(address, 8, true, false, CALLER);
    const uint32_t agent = launch.checked ? checker_agent("a tensor copy") : 0;
    barriers[address] = std::make_unique<Barrier>(Barrier{
        arrivals, arrivals, 0, 0, agent, running()->thread.number, false, CALLER, {}, {}});
}

void emulator_mbarrier_fence_init() {
    for (auto& [address, barrier] : barriers)
        barrier->fenced |= barrier->initialised_by == running()->thread.number;
}

void emulator_mbarrier_arrive(uint64_t* address, uint32_t expected_bytes) {
    Barrier& barrier = barrier_at(address, CALLER);
    if (barrier.missing == 0)
        fail("mbarrier at " + site_text(CALLER) + ": more arrivals than it was initialised for");
    if (launch.checked) checker_release(barrier.arriving);
    --barrier.missing;
    barrier.bytes += expected_bytes;
    const uint32_t phase = barrier.phase;
    complete_if_all_came(barrier, address);
    if (barrier.phase != phase) yield_to_waiters();
}

void emulator_mbarrier_wait(uint64_t* address, uint32_t parity) {
    Barrier& barrier = barrier_at(address, CALLER);
    while ((barrier.phase & 1) == (parity & 1)) {
        running()->waits_at = address;
        wait(State::AT_MBARRIER, CALLER);
    }
    if (launch.checked) checker_acquire(barrier.released);
}

uint32_t emulator_shared_address(const void* p) {
    return uint32_t(static_cast<const char*>(p) - emulator_dynamic_shared);
}

void emulator_tensor_load(void* to, const void* map, uint64_t* address, int x, int y, int z) {
    Barrier& barrier = barrier_at(address, CALLER);
    const std::string where = "tensor copy at " + site_text(CALLER);
    if (!barrier.fenced) fail(where + ": its mbarrier was not fenced after it was initialised");
    const TensorCopy copy{static_cast<char*>(to), static_cast<const EmulatorTensorMap*>(map), &barrier,
                          address, {x, y, z}};
    if (copy.map->magic != EMULATOR_TENSOR_MAP) fail(where + ": that is no tensor map");
    if (uintptr_t(to) % (copy.map->swizzled ? 1024 : 128))
        fail(where + ": its destination is misaligned");
    if ((uintptr_t(copy.map->base) | copy.map->strides[1] | copy.map->strides[2]) % 16)
        fail(where + ": its source is misaligned");
    const uint32_t* box = copy.map->box;
    const uint64_t bytes = uint64_t(box[0]) * box[1] * box[2] * copy.map->element;
    if (emulator_shared_address(to) + bytes > launch.dynamic_shared)
        fail(where + ": its destination lies beyond shared memory");
    each_piece(copy, [&](char* piece, const char* from, size_t inside, size_t step) {
        if (launch.checked) {
            if (inside) checker_agent_read(from, inside, CALLER);
            checker_agent_touch(barrier.agent, barrier.phase + 1, piece, step, true, CALLER);
        }
        memset(piece, 0xFF, step);
    });
    if (launch.schedule & COPIES_AT_ONCE)
        land(copy);
    else
        copies.push_back(copy);
}

void emulator_wgmma_fence() { issued[running()->thread.number].fenced = true; }

void emulator_wgmma(float* sums, uint64_t a, uint64_t b, uint32_t columns, bool a_across, bool b_across,
                    EmulatorOperand operand) {
    const uint32_t thread = running()->thread.number;
    Issued& mine = issued[thread];
    Warpgroup& group = own_group();
    const bool fresh = mine.saved.find(sums) == mine.saved.end();
    if (fresh && !mine.fenced) fail("wgmma at " + site_text(CALLER) + " without a fence before it");
    if (fresh) {
        mine.saved[sums].assign(sums, sums + columns / 2);
        memset(sums, 0xFF, columns / 2 * sizeof(float));
    }
    const uint32_t open = mine.committed - group.completed;  // among the groups in flight
    while (group.groups.size() <= open) group.groups.emplace_back();
    Group& products = group.groups[open];
    if (products.size() <= mine.in_group) {
        products.push_back(std::make_shared<WarpgroupProduct>(
            WarpgroupProduct{a, b, columns, a_across, b_across, operand, {}, 0, CALLER}));
    }
    WarpgroupProduct& product = *products[mine.in_group++];
    if (product.a != a || product.b != b || product.columns != columns)
        fail("wgmma at " + site_text(CALLER) + ": the threads of the warpgroup name other operands");
    product.sums[thread % WARPGROUP] = sums;
    if (launch.checked && thread % WARP == 0) {
        if (!mine.agent) mine.agent = checker_agent("a product");
        const uint32_t clock = mine.committed + 1;
        note_reads(thread % WARPGROUP / WARP * 16, 16, a, a_across, product, mine.agent, clock);
        note_reads(0, columns, b, b_across, product, mine.agent, clock);
    }
    ++product.threads;
}

void emulator_wgmma_commit() {
    Issued& mine = issued[running()->thread.number];
    ++mine.committed;
    mine.in_group = 0;
}

// All threads of the warpgroup meet here; the last one forms the products.
void emulator_wgmma_wait(unsigned groups_left) {
    const uint32_t thread = running()->thread.number, first = thread / WARPGROUP * WARPGROUP;
    Warpgroup& group = own_group();
    running()->waits_at = &group;
    if (++group.waiting < WARPGROUP) {
        wait(State::AT_WARPGROUP, CALLER);
    } else {
        group.waiting = 0;
        const uint32_t committed = issued[thread].committed;
        for (uint32_t i = 0; i < WARPGROUP; ++i)
            if (issued[first + i].committed != committed)
                fail("wgmma: " + name_of(fibers[first + i].thread) + " has committed " +
                     std::to_string(issued[first + i].committed) + " groups, it " +
                     std::to_string(committed));
        while (group.completed + groups_left < committed && !group.groups.empty()) {
            for (auto& product : group.groups.front()) {
                if (product->threads != WARPGROUP)
                    fail("wgmma at " + site_text(product->site) +
                         ": not all threads of the warpgroup take part");
                form(*product, first);
            }
            group.groups.pop_front();
            ++group.completed;
        }
        make_ready(State::AT_WARPGROUP, &group);
    }
    Issued& mine = issued[thread];
    if (group.completed == mine.committed && mine.in_group == 0) {
        for (auto& [sums, values] : mine.saved) std::copy(values.begin(), values.end(), sums);
        mine.saved.clear();
        mine.fenced = false;
    }
    const uint32_t agent = issued[thread / WARP * WARP].agent;
    if (launch.checked && agent) {
        Clocks done;
        checker_agent_done(done, agent, group.completed);
        checker_acquire(done);
    }
}
