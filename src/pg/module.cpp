// What the server does with the library when it loads it: the magic block, and _PG_init, which
// declares the settings.
#include <cstring>

#include "core/kernels/kernels.h"
#include "pg/am/options.h"
#include "pg/am/storage/model_cache.h"
#include "pg/debug_point.h"
#include "pg/pg.h"

extern "C" {
PG_MODULE_MAGIC;
QV_EXPORT void _PG_init(void);
}

namespace {

using quantvec::kernels::Kernels;

// The values of quantvec.simd are indexes of this list.
constexpr const char* kSimdNames[] = {"auto", "scalar", "avx2", "avx512", "avx512vbmi", "neon"};
constexpr int kSimdAuto = 0;
const config_enum_entry kSimdOptions[] = {{kSimdNames[0], 0, false}, {kSimdNames[1], 1, false},
                                          {kSimdNames[2], 2, false}, {kSimdNames[3], 3, false},
                                          {kSimdNames[4], 4, false}, {kSimdNames[5], 5, false},
                                          {nullptr, 0, false}};
int simd = kSimdAuto;

bool CheckSimd(int* value, void**, GucSource) {
    if (*value == kSimdAuto) return true;
    const Kernels* runnable[quantvec::kernels::kMostTables];
    size_t n = quantvec::kernels::Runnable(runnable);
    for (size_t i = 0; i < n; ++i)
        if (std::strcmp(runnable[i]->name, kSimdNames[*value]) == 0) return true;
    GUC_check_errdetail("This processor does not run the %s kernels.", kSimdNames[*value]);
    return false;
}

void AssignSimd(int value, void*) {
    quantvec::kernels::Select(kSimdNames[value]);
}

}  // namespace

void _PG_init(void) {
    // The server assigns the default at once, so this chooses the kernels too.
    DefineCustomEnumVariable(
        "quantvec.simd", "Sets the instruction set of the distance kernels.",
        "auto takes the best that the processor runs; the others are for tests "
        "and bug reports.",
        &simd, kSimdAuto, kSimdOptions, PGC_USERSET, 0, CheckSimd, AssignSimd, nullptr);
    quantvec::pg::InitOptions();
    quantvec::pg::InitModelCache();
    quantvec::pg::InitDebugPoints();
    MarkGUCPrefixReserved("quantvec");
}
