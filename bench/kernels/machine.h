// The limits of the machine under the kernels: how fast it reads, how many operations a cycle it
// starts. No kernel can pass them, so they stand beside the kernels' times.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace quantvec::bench {

// Memory that begins with a cache line.
class Buffer {
  public:
    explicit Buffer(std::size_t size)
        : size_(size),
          data_(static_cast<std::uint8_t*>(std::aligned_alloc(64, (size + 63) / 64 * 64))) {
        if (data_ == nullptr) std::abort();
    }
    ~Buffer() { std::free(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    std::uint8_t* data() { return data_; }
    std::size_t size() const { return size_; }
    float* floats() { return reinterpret_cast<float*>(data_); }

  private:
    std::size_t size_;
    std::uint8_t* data_;
};

// Seconds that f takes.
template <class F>
double Seconds(F f) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    f();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// What a loop asks of the processor: operations on whole registers, by the execution pipes that
// can take them. Where that is in doubt it is `any`: the bound gets lower, and stays a bound.
struct Operations {
    double load = 0, store = 0;
    double any = 0;       // and, xor, integer addition and comparison
    double multiply = 0;  // of floats, also with an addition; of bytes and 16-bit integers
    double add = 0;       // of floats
    double shuffle = 0;   // of bytes, and across 128 bits
    double shift = 0;
    double narrow_load = 0;  // of a byte or a float
    double mask_load = 0;    // of 64 bits to a mask register
};

// The execution pipes of one instruction set on one processor: bit k of a set for pipe k.
struct Pipes {
    unsigned any, multiply, add, shuffle, shift;
    double loads, stores, narrow_loads, mask_loads;  // a cycle
    double halves;  // 2 where a register goes through a pipe in two halves
};

struct Machine {
    std::string processor;
    std::size_t l2_bytes, l3_bytes;
    const Pipes* avx2;  // nullptr if not known
    const Pipes* avx512;
};
Machine ThisMachine();

// Cycles that one pass of a loop takes at least.
double Cycles(const Operations& operations, const Pipes& pipes);

// Cycles a second, by a chain of additions that take one cycle each.
double MeasureClock();

// Reads `size` bytes `passes` times and does nothing else; returns seconds. By `turn` with each of the
// register sizes that there are: the widest is not always the fastest. size % 512 == 0
double MeasurePlainRead(const std::uint8_t* data, std::size_t size, int passes, int turn);

}  // namespace quantvec::bench
