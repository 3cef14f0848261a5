// Watches every load and store of a kernel: for races, bounds, and reads of unwritten memory.
//
// A checked build is compiled with -fsanitize=thread, which puts a call before every access to
// memory. The sanitizer's library is not linked: the calls end here instead. Each byte of shared
// memory and each element of the arrays has a record of who wrote it and who read it. Two accesses
// of different threads, one of them a write, must be ordered:
//   in a block, by a barrier of the whole block between them (`epoch` counts these), or
//   by a __syncwarp in which both lanes took part, or an mbarrier at which one arrived and for which
//   the other waited (`seen` holds vector clocks);
//   between blocks nothing orders them.
// What runs beside the threads, a copy that completes at an mbarrier or a product of a warpgroup,
// is an agent: a further slot in the vector clocks, which threads see when they have waited for it.
// So a missing barrier is found in every schedule, whether or not the values came out right.
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime.hpp"

namespace emulator {
namespace {

struct Access {
    uint64_t block;  // serial number; 0: none
    uint32_t thread, slot, epoch, clock;  // slot: the thread's own, or that of an agent
    bool atomic, in_flight;
    const void* site;
};

constexpr int READERS = 3;

struct Cell {
    Access write;
    Access reads[READERS];
};

uint64_t first_block;  // serial numbers from here on belong to this launch
uint32_t epoch;
uint64_t accesses;
std::vector<uint32_t> clocks;                // by thread
std::vector<uint32_t> seen;                  // [thread][slot]: the latest clock that it has seen
uint32_t slots;                              // threads, and agents after them
std::vector<const char*> agents;             // their names
std::vector<Cell> shared_cells;              // by byte: static shared memory, then dynamic
std::vector<std::pair<Cell*, size_t>> buffer_cells;  // by array: one for each element

uint32_t* seen_by(uint32_t thread) { return &seen[size_t(thread) * slots]; }

bool is_agent(const Access& access) { return access.slot >= fibers.size(); }

bool ordered(const Access& before, const EmulatorThread& now) {
    if (before.block != block_serial) return false;
    if (before.slot == now.number) return true;
    if (!is_agent(before) && before.epoch < epoch) return true;
    return seen_by(now.number)[before.slot] >= before.clock;
}

EmulatorThread thread_of(const Access& access) {
    EmulatorThread thread{};
    const uint32_t* b = launch.block;
    thread.index = {access.thread % b[0], access.thread / b[0] % b[1], access.thread / (b[0] * b[1])};
    return thread;
}

std::string name_of_author(const Access& access) {
    if (is_agent(access))
        return agents[access.slot - fibers.size()] + (" of " + name_of(thread_of(access)));
    if (access.block == block_serial) return name_of(thread_of(access));
    uint64_t block = access.block - first_block;
    char text[160];
    const EmulatorIndex at = thread_of(access).index;
    const uint32_t* g = launch.grid;
    snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u)", unsigned(block % g[0]),
             unsigned(block / g[0] % g[1]), unsigned(block / g[0] / g[1]), at.x, at.y, at.z);
    return text;
}

[[noreturn]] void report_race(const std::string& place, bool write, const void* site,
                              const Access& other, bool other_wrote) {
    const bool same_block = other.block == block_serial;
    fail(std::string("race: it ") + (write ? "writes " : "reads ") + place + " at " +
         site_text(site) + ", which " + name_of_author(other) + (other_wrote ? " wrote" : " read") +
         " at " + site_text(other.site) +
         (is_agent(other)  ? ", and it has not waited for that"
          : same_block ? ", and no barrier lies between"
                       : ", and nothing orders blocks"));
}

// Records one access to one cell; fails if it conflicts with an earlier one.
// shared: memory of this block, where the records of other blocks do not count.
template <class Place>
void touch(Cell& cell, const Access& self, bool write, bool shared, Place place) {
    const EmulatorThread& now = *emulator_thread;
    const void* site = self.site;
    const bool atomic = self.atomic;
    const auto valid = [&](const Access& a) {
        return shared ? a.block == block_serial : a.block >= first_block;
    };
    const bool written = valid(cell.write);
    if (written && cell.write.in_flight)
        fail("cp.async still in flight: it touches " + place() + " at " + site_text(site) +
             " before the copy issued at " + site_text(cell.write.site) + " is waited for");
    if (!write && shared && !written)
        fail("uninitialised: it reads " + place() + " at " + site_text(site) +
             ", which no thread of its block has written");
    if (written && !(atomic && cell.write.atomic) && !ordered(cell.write, now))
        report_race(place(), write, site, cell.write, true);
    if (write) {
        for (Access& read : cell.reads) {
            if (valid(read) && !(atomic && read.atomic) && !ordered(read, now))
                report_race(place(), true, site, read, false);
            read.block = 0;
        }
        cell.write = self;
        return;
    }
    Access* slot = nullptr;
    for (Access& read : cell.reads) {
        // The record may replace one that it comes after, or one of its own thread or agent.
        if (!valid(read) || read.slot == self.slot || ordered(read, now)) {
            slot = &read;
            break;
        }
    }
    if (slot) *slot = self;
}

Access by_thread(bool atomic, const void* site) {
    const uint32_t now = emulator_thread->number;
    return {block_serial, now, now, epoch, clocks[now], atomic, false, site};
}

std::string bytes_text(size_t bytes) {
    char text[32];
    snprintf(text, sizeof text, "%zu bytes", bytes);
    return text;
}

// Where in shared memory an access lies, counted from its start; SIZE_MAX: nowhere.
size_t shared_offset(const char* address) {
    const size_t static_bytes = static_shared_end - static_shared;
    if (static_shared && address >= static_shared && address < static_shared_end)
        return address - static_shared;
    if (address >= emulator_dynamic_shared && address < emulator_dynamic_shared + launch.dynamic_shared)
        return static_bytes + (address - emulator_dynamic_shared);
    return SIZE_MAX;
}

size_t shared_room(const char* address) {  // bytes until the end of its part of shared memory
    if (static_shared && address >= static_shared && address < static_shared_end)
        return static_shared_end - address;
    return emulator_dynamic_shared + launch.dynamic_shared - address;
}

// The range of the library's own data: tables of constants, which kernels may read.
struct Image { const char *start, *end; };

int find_image(dl_phdr_info* info, size_t, void* result) {
    Image* image = static_cast<Image*>(result);
    const char* probe = reinterpret_cast<const char*>(&find_image);
    Image found{reinterpret_cast<const char*>(~uintptr_t(0)), nullptr};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        if (part.p_type != PT_LOAD) continue;
        const char* start = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
        found.start = std::min(found.start, start);
        found.end = std::max(found.end, start + part.p_memsz);
    }
    if (probe < found.start || probe >= found.end) return 0;
    *image = found;
    return 1;
}

Image own_image() {
    static const Image image = [] {
        Image found{};
        dl_iterate_phdr(find_image, &found);
        return found;
    }();
    return image;
}

[[noreturn]] void report_out_of_bounds(const char* address, size_t bytes, bool write,
                                       const void* site) {
    std::string text = std::string("out of bounds: it ") + (write ? "writes " : "reads ") +
                       bytes_text(bytes) + " at " + site_text(site) + ", ";
    const EmulatorBuffer* nearest = nullptr;
    int64_t distance = INT64_MAX;
    for (uint32_t i = 0; i < launch.buffer_count; ++i) {
        const EmulatorBuffer& b = launch.buffers[i];
        const int64_t gap = address < b.start ? b.start - address : address + bytes - (b.start + b.bytes);
        if (gap < distance) distance = gap, nearest = &b;
    }
    const Image image = own_image();
    if (address >= image.start && address < image.end)
        fail(text + "in the library's own data: __shared__ variables belong into the kernel itself "
                    "or a plain function, not into a template");
    if (!nearest || distance > (1 << 20)) fail(text + "which is no memory of the launch");
    char where[200];
    const int64_t index = (address - nearest->start) / int64_t(nearest->element) -
                          (address < nearest->start && (address - nearest->start) % nearest->element != 0);
    snprintf(where, sizeof where, "index %lld of %s, which has %llu elements",
             static_cast<long long>(index), nearest->name,
             static_cast<unsigned long long>(nearest->bytes / nearest->element));
    fail(text + where);
}

void touch_shared(size_t offset, size_t bytes, bool write, const Access& self) {
    for (size_t i = 0; i < bytes; ++i)
        touch(shared_cells[offset + i], self, write, true, [&] {
            return "byte " + std::to_string(offset + i) + " of shared memory";
        });
}

void check_alignment(const char* address, size_t bytes, const char* where, const void* site) {
    const bool one_access = bytes <= 16 && (bytes & (bytes - 1)) == 0;
    if (one_access && uintptr_t(address) % bytes)
        fail("misaligned: it touches " + bytes_text(bytes) + " of " + where + " at " + site_text(site));
}

void check(const void* pointer, size_t bytes, bool write, bool atomic, const void* site,
           bool counted = true) {
    if (!emulator_thread || !launch.checked) return;
    const char* address = static_cast<const char*>(pointer);
    const Fiber* self = running();
    if (address >= self->stack && address < self->stack + STACK_BYTES) return;
    if (++accesses > launch.access_limit)
        fail("endless: more than " + std::to_string(launch.access_limit) +
             " accesses to memory, the last at " + site_text(site));
    const size_t offset = shared_offset(address);
    if (offset != SIZE_MAX) {
        if (bytes > shared_room(address)) report_out_of_bounds(address, bytes, write, site);
        check_alignment(address, bytes, "shared memory", site);
        touch_shared(offset, bytes, write, by_thread(atomic, site));
        counter_access(offset, bytes, write, true, site);
        return;
    }
    for (uint32_t i = 0; i < launch.buffer_count; ++i) {
        const EmulatorBuffer& b = launch.buffers[i];
        if (address < b.start || address >= b.start + b.bytes) continue;
        if (address + bytes > b.start + b.bytes) report_out_of_bounds(address, bytes, write, site);
        check_alignment(address, bytes, b.name, site);
        const size_t first = (address - b.start) / b.element;
        const size_t last = (address + bytes - 1 - b.start) / b.element;
        for (size_t e = first; e <= last; ++e)
            touch(buffer_cells[i].first[e], by_thread(atomic, site), write, false,
                  [&] { return "element " + std::to_string(e) + " of " + b.name; });
        if (counted) counter_access((uint64_t(i) << 40) + (address - b.start), bytes, write, false, site);
        return;
    }
    const Image image = own_image();
    if (!write && address >= image.start && address + bytes <= image.end) return;
    report_out_of_bounds(address, bytes, write, site);
}

}  // namespace

void checker_begin_launch() {
    first_block = block_serial + 1;
    accesses = 0;
    shared_cells.assign(static_shared_end - static_shared + launch.dynamic_shared, Cell{});
    for (uint32_t i = 0; i < launch.buffer_count; ++i) {
        const size_t count = launch.buffers[i].bytes / launch.buffers[i].element;
        buffer_cells.emplace_back(static_cast<Cell*>(calloc(count + 1, sizeof(Cell))), count);
        if (!buffer_cells.back().first) abort();
    }
}

// Every kernel's library has records of its own: they are given back, as they are large.
void checker_end_launch() {
    for (auto& cells : buffer_cells) free(cells.first);
    buffer_cells.clear();
    std::vector<Cell>().swap(shared_cells);
    std::vector<uint32_t>().swap(seen);
}

void checker_begin_block() {
    counter_begin_block();
    epoch = 0;
    agents.clear();
    slots = fibers.size() + MAX_AGENTS;
    clocks.assign(fibers.size(), 1);
    seen.assign(fibers.size() * slots, 0);
}

// `epoch` orders the threads; what each has seen of agents is passed on to all.
void checker_barrier() {
    ++epoch;
    for (uint32_t agent = fibers.size(); agent < fibers.size() + agents.size(); ++agent) {
        uint32_t latest = 0;
        for (uint32_t i = 0; i < fibers.size(); ++i) latest = std::max(latest, seen_by(i)[agent]);
        for (uint32_t i = 0; i < fibers.size(); ++i) seen_by(i)[agent] = latest;
    }
}

void checker_warp(uint32_t warp, uint32_t lanes) {
    Clocks joined(slots);
    for (uint32_t i = warp * WARP; i < std::min<uint32_t>((warp + 1) * WARP, fibers.size()); ++i) {
        if (!(lanes >> i % WARP & 1)) continue;
        for (uint32_t slot = 0; slot < slots; ++slot)
            joined[slot] = std::max(joined[slot], seen_by(i)[slot]);
        joined[i] = std::max(joined[i], clocks[i]++);
    }
    for (uint32_t i = warp * WARP; i < std::min<uint32_t>((warp + 1) * WARP, fibers.size()); ++i)
        if (lanes >> i % WARP & 1) std::copy(joined.begin(), joined.end(), seen_by(i));
}

uint32_t checker_agent(const char* name) {
    if (agents.size() == MAX_AGENTS) fail("more mbarriers than the emulator follows");
    agents.push_back(name);
    return fibers.size() + agents.size() - 1;
}

void checker_touch(const void* address, size_t bytes, bool write, bool atomic, const void* site) {
    check(address, bytes, write, atomic, site);
}

void checker_agent_read(const void* address, size_t bytes, const void* site) {
    check(address, bytes, false, false, site, false);
    counter_bulk_load(bytes);
}

void checker_agent_touch(uint32_t agent, uint32_t clock, const void* address, size_t bytes,
                         bool write, const void* site) {
    const char* at = static_cast<const char*>(address);
    const size_t offset = shared_offset(at);
    if (offset == SIZE_MAX || bytes > shared_room(at)) report_out_of_bounds(at, bytes, write, site);
    const Access self{block_serial, emulator_thread->number, agent, epoch, clock, false, false, site};
    touch_shared(offset, bytes, write, self);
}

void checker_release(Clocks& into) {
    const uint32_t now = emulator_thread->number;
    into.resize(slots);
    for (uint32_t slot = 0; slot < slots; ++slot)
        into[slot] = std::max(into[slot], seen_by(now)[slot]);
    into[now] = std::max(into[now], clocks[now]++);
}

void checker_acquire(const Clocks& from) {
    uint32_t* mine = seen_by(emulator_thread->number);
    for (uint32_t slot = 0; slot < from.size(); ++slot) mine[slot] = std::max(mine[slot], from[slot]);
}

void checker_agent_done(Clocks& at, uint32_t agent, uint32_t clock) {
    at.resize(slots);
    at[agent] = std::max(at[agent], clock);
}

void checker_copy_issued(const AsyncCopy& copy) {
    if (copy.valid_bytes) check(copy.from, copy.valid_bytes, false, false, copy.site);
    const size_t offset = shared_offset(copy.to);
    if (offset == SIZE_MAX || copy.bytes > shared_room(copy.to))
        report_out_of_bounds(copy.to, copy.bytes, true, copy.site);
    touch_shared(offset, copy.bytes, true, by_thread(false, copy.site));
    counter_access(offset, copy.bytes, true, true, copy.site);
    for (size_t i = 0; i < copy.bytes; ++i) shared_cells[offset + i].write.in_flight = true;
}

void checker_copy_landed(const AsyncCopy& copy) {
    const size_t offset = shared_offset(copy.to);
    const Access self = by_thread(false, copy.site);
    for (size_t i = 0; i < copy.bytes; ++i) shared_cells[offset + i].write = self;
}

}  // namespace emulator

using emulator::check;
#define CALLER __builtin_return_address(0)

void emulator_atomic(void* address, size_t bytes) { check(address, bytes, true, true, CALLER); }

// The calls that -fsanitize=thread makes.
#define HOOKS(bytes)                                                                          \
    extern "C" void __tsan_read##bytes(void* p) { check(p, bytes, false, false, CALLER); }  \
    extern "C" void __tsan_write##bytes(void* p) { check(p, bytes, true, false, CALLER); }  \
    extern "C" void __tsan_unaligned_read##bytes(void* p) {                                 \
        check(p, bytes, false, false, CALLER);                                                \
    }                                                                                         \
    extern "C" void __tsan_unaligned_write##bytes(void* p) { check(p, bytes, true, false, CALLER); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
extern "C" void __tsan_read_range(void* p, size_t n) { check(p, n, false, false, CALLER); }
extern "C" void __tsan_write_range(void* p, size_t n) { check(p, n, true, false, CALLER); }
extern "C" void __tsan_vptr_read(void*) {}
extern "C" void __tsan_vptr_update(void*, void*) {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}

// The calls that -fsanitize=bounds-strict,signed-integer-overflow,integer-divide-by-zero make. Each
// is given a record that begins with the place in the source.
struct SourceLocation { const char* file; uint32_t line, column; };

static void undefined(const SourceLocation* at, const char* what) {
    const char* slash = strrchr(at->file, '/');
    emulator::fail(std::string(what) + " at " + (slash ? slash + 1 : at->file) + ":" +
                   std::to_string(at->line));
}
#define UNDEFINED(name, what, ...) \
    extern "C" void __ubsan_handle_##name(const SourceLocation* at, __VA_ARGS__) { undefined(at, what); }
UNDEFINED(out_of_bounds, "out of bounds: an index beyond the end of an array", void*)
UNDEFINED(add_overflow, "integer overflow in a sum", void*, void*)
UNDEFINED(sub_overflow, "integer overflow in a difference", void*, void*)
UNDEFINED(mul_overflow, "integer overflow in a product", void*, void*)
UNDEFINED(negate_overflow, "integer overflow in a negation", void*)
UNDEFINED(divrem_overflow, "integer division by zero", void*, void*)
