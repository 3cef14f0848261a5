// Counts what a launch moves: global memory in sectors, shared memory in wavefronts.
//
// The lanes of a warp run one after the other here. Their accesses belong together if they come
// from the same place in the code, where each lane has been equally often; such a group is one
// request of the warp. Groups are evaluated when a block ends.
//   global  a request moves each sector of 32 bytes that it touches once
//   shared  a wavefront serves one word of 4 bytes of each of 32 banks; accesses of 8 bytes go by half
//           warps, of 16 by quarters. More wavefronts than that are bank conflicts.
#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>

#include "runtime.hpp"

namespace emulator {
namespace {

constexpr uint64_t SECTOR = 32, BANKS = 32, WORD = 4;

struct Request {
    uint64_t bytes = 0;  // of a lane
    bool write = false, shared = false;
    std::array<uint64_t, WARP> addresses{};
    uint32_t lanes = 0;
};

struct Key {
    const void* site;
    uint32_t warp, time;
    bool operator==(const Key& other) const {
        return site == other.site && warp == other.warp && time == other.time;
    }
};

struct Hash {
    size_t operator()(const Key& key) const {
        return (reinterpret_cast<uint64_t>(key.site) * 31 + key.warp) * 0x9E3779B97F4A7C15ull + key.time * 131;
    }
};

std::unordered_map<Key, Request, Hash> requests;
std::vector<std::unordered_map<const void*, uint32_t>> times;  // by thread and site
uint64_t bulk_bytes;                                          // of tensor copies

uint64_t sectors_of(const Request& request) {
    std::set<uint64_t> sectors;
    for (uint32_t lane = 0; lane < WARP; ++lane)
        if (request.lanes >> lane & 1)
            for (uint64_t at = request.addresses[lane] / SECTOR;
                 at <= (request.addresses[lane] + request.bytes - 1) / SECTOR; ++at)
                sectors.insert(at);
    return sectors.size();
}

// The wavefronts of a request, and how many there would be without conflicts.
std::pair<uint64_t, uint64_t> wavefronts_of(const Request& request) {
    const uint32_t together = request.bytes <= WORD ? WARP : request.bytes <= 8 ? WARP / 2 : WARP / 4;
    uint64_t found = 0, least = 0;
    for (uint32_t first = 0; first < WARP; first += together) {
        std::set<uint64_t> words;
        for (uint32_t lane = first; lane < first + together; ++lane)
            if (request.lanes >> lane & 1)
                for (uint64_t at = 0; at < request.bytes; at += WORD)
                    words.insert((request.addresses[lane] + at) / WORD);
        std::array<uint64_t, BANKS> in_bank{};
        for (uint64_t word : words) ++in_bank[word % BANKS];
        found += *std::max_element(in_bank.begin(), in_bank.end());
        least += !words.empty();
    }
    return {found, least};
}

}  // namespace

void counter_begin_block() {
    requests.clear();
    bulk_bytes = 0;
    times.assign(fibers.size(), {});
}

void counter_access(uint64_t address, size_t bytes, bool write, bool shared, const void* site) {
    if (!launch.counters) return;
    const EmulatorThread& now = *emulator_thread;
    // A copy reads and writes at one place in the code; this makes two places of it.
    const void* place = static_cast<const char*>(site) + (shared ? 1 : 0);
    Request& request = requests[Key{place, now.warp, times[now.number][place]++}];
    request.bytes = bytes;
    request.write = write;
    request.shared = shared;
    request.addresses[now.lane] = address;
    request.lanes |= 1u << now.lane;
}

void counter_bulk_load(uint64_t bytes) { bulk_bytes += bytes; }

void counter_end_block() {
    if (!launch.counters) return;
    EmulatorCounters& counters = *launch.counters;
    counters.load_sectors += bulk_bytes / SECTOR;
    for (const auto& [key, request] : requests) {
        if (request.shared) {
            const auto [found, least] = wavefronts_of(request);
            (request.write ? counters.shared_stores : counters.shared_loads) += 1;
            counters.wavefronts += found;
            counters.conflicts += found - least;
        } else {
            (request.write ? counters.global_stores : counters.global_loads) += 1;
            (request.write ? counters.store_sectors : counters.load_sectors) += sectors_of(request);
        }
    }
}

}  // namespace emulator
