// The harness of the core's tests: a list of cases, checks that print where they failed, and
// numbers that look random and are the same on every run.
//
//   TEST(RoundUpIsTheNextMultiple) {
//       CHECK_EQ(RoundUp(65, 64), 128);
//   }
//
// A failed check is printed and the test goes on; a test with a failed check has failed.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/random.h"

namespace quantvec::unit {

struct Case {
    const char* name;
    void (*run)();
};

inline std::vector<Case>& Cases() {
    static std::vector<Case> cases;
    return cases;
}
struct Registration {
    Registration(const char* name, void (*run)()) { Cases().push_back({name, run}); }
};

// What the test that is running has found so far.
struct State {
    std::size_t failed_checks = 0;
    std::string where;
    std::string skipped;
};
inline State& Current() {
    static State state;
    return state;
}

// Says where in its loops the test is; printed with each failed check until the next call.
[[gnu::format(printf, 1, 2)]] inline void Where(const char* format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    Current().where = text;
}

// The test cannot run here (its data set is not installed): reported, not failed. Return after it.
inline void Skip(const char* reason) {
    Current().skipped = reason;
}

inline void Fail(const char* file, int line, const std::string& what) {
    constexpr std::size_t kPrinted = 20;  // of one test: a broken kernel fails thousands of checks
    State& state = Current();
    if (++state.failed_checks > kPrinted) return;
    std::printf("%s:%d: %s", file, line, what.c_str());
    if (!state.where.empty()) std::printf("  [%s]", state.where.c_str());
    std::printf("%s\n", state.failed_checks == kPrinted ? "  (further ones not printed)" : "");
}

template <class T>
std::string Text(const T& value) {
    if constexpr (std::is_enum_v<T>) {
        return std::to_string(static_cast<long long>(value));
    } else if constexpr (std::integral<T> && sizeof(T) == 1) {
        return std::to_string(static_cast<int>(value));  // bytes are numbers, not letters
    } else if constexpr (std::is_same_v<T, std::nullptr_t>) {
        return "nullptr";
    } else {
        std::ostringstream out;
        out.precision(17);
        out << value;
        return out.str();
    }
}

// Integers compare by value, whatever their signs and widths.
template <class A, class B>
bool Equal(const A& a, const B& b) {
    if constexpr (std::integral<A> && std::integral<B>) {
        // + makes an int of bool and char, which cmp_equal does not take.
        return std::cmp_equal(+a, +b);
    } else {
        return a == b;
    }
}
template <class A, class B>
void CheckEqual(const A& a, const B& b, const char* expression, const char* file, int line) {
    if (!Equal(a, b))
        Fail(file, line, std::string(expression) + ": " + Text(a) + " is not " + Text(b));
}
inline void CheckNear(double a, double b, double tolerance, const char* expression,
                      const char* file, int line) {
    // Not `> tolerance`: what is not a number is not near.
    if (!(std::fabs(a - b) <= tolerance) && !(a == b))
        Fail(file, line,
             std::string(expression) + ": " + Text(a) + " and " + Text(b) + " differ by " +
                 Text(std::fabs(a - b)) + ", more than " + Text(tolerance));
}

#define TEST(name)                                                                    \
    static void Test##name();                                                         \
    static const ::quantvec::unit::Registration registered_##name(#name, Test##name); \
    static void Test##name()

#define CHECK(condition)                \
    ((condition) ? static_cast<void>(0) \
                 : ::quantvec::unit::Fail(__FILE__, __LINE__, "CHECK(" #condition ")"))
// Values a and b are equal.
#define CHECK_EQ(a, b) \
    ::quantvec::unit::CheckEqual((a), (b), "CHECK_EQ(" #a ", " #b ")", __FILE__, __LINE__)
// |a - b| <= tolerance, absolute; infinities of the same sign are near.
#define CHECK_NEAR(a, b, tolerance)                                                            \
    ::quantvec::unit::CheckNear((a), (b), (tolerance), "CHECK_NEAR(" #a ", " #b ")", __FILE__, \
                                __LINE__)

class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t Next() { return NextRandom(state_); }
    // In [0, n).
    std::uint64_t Below(std::uint64_t n) { return Next() % n; }
    // In [0, 1).
    double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
    double Uniform(double from, double to) { return from + (to - from) * Uniform(); }
    // Mean 0, variance 1 (Box and Muller).
    double Gaussian() {
        const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
        return radius * std::cos(2 * 3.14159265358979323846 * Uniform());
    }
    std::vector<float> Gaussians(std::size_t n) {
        std::vector<float> out(n);
        for (float& x : out) x = static_cast<float>(Gaussian());
        return out;
    }
    std::vector<std::uint8_t> Bytes(std::size_t n) {
        std::vector<std::uint8_t> out(n);
        for (std::uint8_t& x : out) x = static_cast<std::uint8_t>(Next());
        return out;
    }

  private:
    std::uint64_t state_;
};

}  // namespace quantvec::unit
