// Operations of a warp: its lanes meet, and the last one to come completes the operation for all.
#include "runtime.hpp"

namespace emulator {

namespace {

std::vector<uint32_t> waiting_lanes;  // by warp: lanes that wait at a warp operation

// Every lane of `mask` calls; true for the last one, which completes the operation for all.
bool last_of_warp(WarpOperation operation, uint32_t mask, uint64_t value, int source,
                  const void* site) {
    Fiber* self = running();
    self->operation = operation;
    self->mask = mask;
    self->value = value;
    self->source_lane = source;
    self->site = site;
    if (!(mask >> self->thread.lane & 1))
        fail("warp operation at " + site_text(site) + ": the mask leaves out the calling lane");
    uint32_t& waiting = waiting_lanes[self->thread.warp];
    waiting |= 1u << self->thread.lane;
    if ((waiting & mask) != mask) {
        wait(State::AT_WARP_OPERATION, site);
        return false;
    }
    const Fiber* lanes = &fibers[self->thread.warp * WARP];
    for (uint32_t i = 0; i < WARP; ++i)
        if ((mask >> i & 1) && (lanes[i].operation != operation || lanes[i].mask != mask))
            fail("warp operation at " + site_text(site) + ": " + name_of(lanes[i].thread) +
                 " waits at another one, at " + site_text(lanes[i].site));
    return true;
}

void release_warp(uint32_t mask) {
    const uint32_t warp = running()->thread.warp;
    for (uint32_t i = 0; i < WARP; ++i)
        if (mask >> i & 1) fibers[warp * WARP + i].state = State::READY;
    waiting_lanes[warp] &= ~mask;
    yield_to_waiters();
}

uint64_t warp_operation(WarpOperation operation, uint32_t mask, uint64_t value, int source,
                        const void* site) {
    Fiber* self = running();
    if (!last_of_warp(operation, mask, value, source, site)) return self->value;
    Fiber* lanes = &fibers[self->thread.warp * WARP];
    uint64_t results[WARP];
    uint32_t ballot = 0;
    for (uint32_t i = 0; i < WARP; ++i)
        if (mask >> i & 1) ballot |= uint32_t(lanes[i].value != 0) << i;
    for (uint32_t i = 0; i < WARP; ++i) {
        if (!(mask >> i & 1)) continue;
        if (operation == WarpOperation::SHUFFLE) {
            if (!(mask >> lanes[i].source_lane & 1))
                fail("shuffle at " + site_text(site) + " reads a lane outside its mask");
            results[i] = lanes[lanes[i].source_lane].value;
        } else {
            results[i] = ballot;
        }
    }
    for (uint32_t i = 0; i < WARP; ++i)
        if (mask >> i & 1) lanes[i].value = results[i];
    // Shuffles and votes exchange values; only the barrier orders memory.
    if (launch.checked && operation == WarpOperation::SYNC)
        checker_warp(self->thread.warp, mask);
    release_warp(mask);
    return self->value;
}

}  // namespace

void warps_begin_block() { waiting_lanes.assign((fibers.size() + WARP - 1) / WARP, 0); }

void with_whole_warp(WarpOperation operation, uint64_t value, const void* site,
                     void (*together)(const uint64_t*)) {
    if (!last_of_warp(operation, ~0u, value, 0, site)) return;
    uint64_t values[WARP];
    const Fiber* lanes = &fibers[running()->thread.warp * WARP];
    for (uint32_t i = 0; i < WARP; ++i) values[i] = lanes[i].value;
    together(values);
    release_warp(~0u);
}

}  // namespace emulator

using namespace emulator;
#define CALLER __builtin_return_address(0)

void emulator_sync_warp(uint32_t mask) { warp_operation(WarpOperation::SYNC, mask, 0, 0, CALLER); }

uint64_t emulator_shuffle(uint32_t mask, uint64_t value, int source_lane) {
    return warp_operation(WarpOperation::SHUFFLE, mask, value, source_lane, CALLER);
}

uint32_t emulator_ballot(uint32_t mask, int predicate) {
    return uint32_t(warp_operation(WarpOperation::BALLOT, mask, predicate != 0, 0, CALLER));
}
