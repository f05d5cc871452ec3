#include "machine.h"

#include <bit>
#include <cstring>
#include <fstream>

namespace quantvec::bench {
namespace {

// AMD Zen 4: four pipes of 256 bits; a register of 512 goes through in two halves. Measured with
// loops of one operation, and of two that take turns. 256-bit operations a cycle: 4 of `any`; 2 of
// multiply, add, shuffle or shift; 3 of shuffle with shift or multiply; 4 of multiply with shift or
// add. The 11 operations of fast_scan's step, of 512 bits: 5.5 cycles, as the model has it.
constexpr Pipes kZen4Avx2 = {.any = 0b1111,
                             .multiply = 0b0011,
                             .add = 0b1100,
                             .shuffle = 0b0110,
                             .shift = 0b1100,
                             .loads = 2,
                             .stores = 1,
                             .narrow_loads = 3,
                             .mask_loads = 1,
                             .halves = 1};
constexpr Pipes InHalves(Pipes pipes) {
    pipes.halves = 2;
    return pipes;
}
constexpr Pipes kZen4Avx512 = InHalves(kZen4Avx2);
// Intel Golden Cove in servers, not measured but from published port counts: ports 0, 1 and 5 (bits
// 0, 1 and 2), of which registers of 512 bits leave 0 and 5.
constexpr Pipes kGoldenCoveAvx2 = {.any = 0b111,
                                   .multiply = 0b011,
                                   .add = 0b110,
                                   .shuffle = 0b110,
                                   .shift = 0b011,
                                   .loads = 3,
                                   .stores = 2,
                                   .narrow_loads = 3,
                                   .mask_loads = 1,
                                   .halves = 1};
constexpr Pipes kGoldenCoveAvx512 = {.any = 0b101,
                                     .multiply = 0b101,
                                     .add = 0b101,
                                     .shuffle = 0b100,
                                     .shift = 0b001,
                                     .loads = 2,
                                     .stores = 1,
                                     .narrow_loads = 3,
                                     .mask_loads = 1,
                                     .halves = 1};

// What stands behind the first `key : ` of /proc/cpuinfo.
std::string CpuInfo(const char* key) {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        if (colon != std::string::npos && line.compare(0, std::strlen(key), key) == 0)
            return line.substr(colon + 2);
    }
    return "";
}

// Size of the second- or third-level cache that this processor core reads through, or what is given.
// (sysconf names the third level of the whole machine.)
std::size_t CacheBytes(int level, std::size_t otherwise) {
    for (int index = 0; index < 8; index++) {
        const std::string folder =
            "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
        int found = 0;
        std::size_t kilobytes = 0;
        if (std::ifstream(folder + "level") >> found && found == level &&
            std::ifstream(folder + "size") >> kilobytes)
            return kilobytes << 10;
    }
    return otherwise;
}

// The xor of all words, in eight chains of registers.
template <class Register>
[[gnu::always_inline]] inline std::uint64_t XorOf(const std::uint8_t* data, std::size_t size) {
    Register chain[8] = {};
    for (std::size_t i = 0; i < size; i += sizeof(chain))
        for (std::size_t k = 0; k < 8; k++) {
            Register r;
            __builtin_memcpy(&r, data + i + k * sizeof(Register), sizeof(Register));
            chain[k] ^= r;
        }
    for (std::size_t k = 1; k < 8; k++) chain[0] ^= chain[k];
    return chain[0][0];
}

using Register16 [[gnu::vector_size(16)]] = std::uint64_t;
std::uint64_t XorOf16(const std::uint8_t* data, std::size_t size) {
    return XorOf<Register16>(data, size);
}
#if defined(__x86_64__)
using Register32 [[gnu::vector_size(32)]] = std::uint64_t;
using Register64 [[gnu::vector_size(64)]] = std::uint64_t;
[[gnu::target("avx2")]] std::uint64_t XorOf32(const std::uint8_t* data, std::size_t size) {
    return XorOf<Register32>(data, size);
}
[[gnu::target("avx512f")]] std::uint64_t XorOf64(const std::uint8_t* data, std::size_t size) {
    return XorOf<Register64>(data, size);
}
#endif

volatile std::uint64_t sink;

}  // namespace

Machine ThisMachine() {
    Machine machine = {CpuInfo("model name"), 0, 0, nullptr, nullptr};
    machine.l2_bytes = CacheBytes(2, 1 << 20);
    machine.l3_bytes = CacheBytes(3, 64 << 20);
    if (machine.processor.empty()) machine.processor = "unknown processor";
    const bool wide = CpuInfo("flags").find("avx512f") != std::string::npos;
    const std::string vendor = CpuInfo("vendor_id"), family = CpuInfo("cpu family");
    const std::string model = CpuInfo("model\t");
    if (vendor == "AuthenticAMD" && family == "25" && wide) {
        machine.avx2 = &kZen4Avx2;
        machine.avx512 = &kZen4Avx512;
        machine.processor += " (Zen 4)";
    }
    // Sapphire Rapids and Emerald Rapids.
    if (vendor == "GenuineIntel" && family == "6" && (model == "143" || model == "207")) {
        machine.avx2 = &kGoldenCoveAvx2;
        machine.avx512 = &kGoldenCoveAvx512;
        machine.processor += " (Golden Cove)";
    }
    return machine;
}

double Cycles(const Operations& o, const Pipes& p) {
    double most = 0;
    const auto at_least = [&](double cycles) {
        if (cycles > most) most = cycles;
    };
    // What only the pipes of a set can take, they share.
    for (unsigned set = 1; set <= p.any; set++) {
        if ((set & ~p.any) != 0) continue;
        const auto inside = [&](unsigned pipes, double count) {
            return (pipes & ~set) == 0 ? count : 0.0;
        };
        const double count = inside(p.any, o.any) + inside(p.multiply, o.multiply) +
                             inside(p.add, o.add) + inside(p.shuffle, o.shuffle) +
                             inside(p.shift, o.shift);
        at_least(count * p.halves / std::popcount(set));
    }
    at_least(o.load * p.halves / p.loads);
    at_least(o.store * p.halves / p.stores);
    at_least(o.narrow_load / p.narrow_loads);
    at_least(o.mask_load / p.mask_loads);
    return most;
}

double MeasureClock() {
    constexpr int kRounds = 2000, kAdditions = 16;
    std::uint64_t x = 1, step = 7;
    const double seconds = Seconds([&] {
        for (int i = 0; i < kRounds; i++)
#pragma GCC unroll 16
            for (int k = 0; k < kAdditions; k++) {
                // Opaque to the compiler; a constant some processors would add for nothing.
                x += step;
                __asm__ volatile("" : "+r"(x), "+r"(step));
            }
    });
    sink = x;
    return kRounds * kAdditions / seconds;
}

double MeasurePlainRead(const std::uint8_t* data, std::size_t size, int passes, int turn) {
    std::uint64_t (*readers[3])(const std::uint8_t*, std::size_t) = {XorOf16};
    int count = 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) readers[count++] = XorOf32;
    if (__builtin_cpu_supports("avx512f")) readers[count++] = XorOf64;
#endif
    return Seconds([&] {
        for (int i = 0; i < passes; i++) sink = readers[turn % count](data, size);
    });
}

}  // namespace quantvec::bench
