// Runs all tests, or those whose name contains the argument.
#include "unit.h"

#include <cstring>

int main(int argc, char** argv) {
    using namespace quantvec::unit;
    std::size_t passed = 0, failed = 0;
    for (const Case& test : Cases()) {
        if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
        Current() = State{};
        test.run();
        if (Current().failed_checks > 0) {
            std::printf("FAILED %s: %zu checks\n", test.name, Current().failed_checks);
            ++failed;
        } else if (!Current().skipped.empty()) {
            std::printf("skipped %s: %s\n", test.name, Current().skipped.c_str());
        } else {
            ++passed;
        }
        std::fflush(stdout);
    }
    std::printf("%zu passed, %zu failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
