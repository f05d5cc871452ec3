// This file owns the choice of the table in use. Select asks the processor; nothing runs at load.
#include "core/kernels/tables.h"

#include <cstring>

namespace quantvec::kernels {
namespace {

constinit const Kernels* active = &kScalarTable;

}  // namespace

// From the plainest to the best, which "auto" takes.
std::size_t Runnable(const Kernels* out[kMostTables]) {
    std::size_t count = 0;
    out[count++] = &kScalarTable;
#if defined(__x86_64__)
    // These ask for the operating system's support of the registers too.
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vnni");
    if (avx2) out[count++] = &kAvx2Table;
    if (avx512) out[count++] = &kAvx512Table;
    if (avx512 && __builtin_cpu_supports("avx512vbmi")) out[count++] = &kAvx512VbmiTable;
#elif defined(__aarch64__)
    out[count++] = &kNeonTable;
#endif
    return count;
}

const Kernels& Active() {
    return *active;
}

bool Select(const char* name) {
    const Kernels* runnable[kMostTables];
    const std::size_t count = Runnable(runnable);
    if (std::strcmp(name, "auto") == 0) {
        active = runnable[count - 1];
        return true;
    }
    for (std::size_t i = 0; i < count; ++i)
        if (std::strcmp(name, runnable[i]->name) == 0) {
            active = runnable[i];
            return true;
        }
    return false;
}

}  // namespace quantvec::kernels
