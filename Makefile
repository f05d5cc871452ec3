# quantvec: PGXS build.
#
#   make                  the shared library and the install scripts
#   sudo make install     into the server that pg_config names (PG_CONFIG=... for another)
#   sudo make install-as-vector   besides, an extension named vector in pgvector's place (docs/migrating.md)
#   make unit             the core's tests, without a server      (make unit-sanitize: with ASan, UBSan)
#   make points           the library with points where tests stop or hold it, into build/points
#   make rules            the rules that are scripts: layers, ODR, headers, first messages, test pairs, walks, files
#   make bench-kernels    times of the kernels beside the machine's limits
#   make installcheck     SQL regression and TAP tests against a running server
#   make matrix           the tests on every PostgreSQL that it is made for, as root (SERVERS="--sql 17 18": some)
#   make fuzz             random bytes for the readers of text and messages (FUZZ_RUNS=n inputs each, 1,000,000 without)
#   make fuzz-queries     many random queries, with the index beside exact search (QUANTVEC_QUERIES=n, QUANTVEC_SEED=s)
#   make clients          drivers, ORMs and frameworks of others against private servers; writes docs/clients.md's table
#   make format           clang-format over the tree
#
# ./quickstart test runs all of it in a private cluster.

EXTENSION = quantvec quantvec_pgvector
MODULE_big = quantvec

CORE_SRCS := $(sort $(wildcard src/core/*/*.cpp))
PG_SRCS := $(sort $(wildcard src/pg/*.cpp src/pg/*/*.cpp src/pg/*/*/*.cpp))

# One object a source file. The NEON file is empty on other processors, the x86 files elsewhere.
OBJS := $(CORE_SRCS:.cpp=.o) $(PG_SRCS:.cpp=.o)

# The install script of an extension is its pieces from sql/install, in this order: NAME is NAME.sql, NAME:TYPE is the
# template NAME.sql.in with the type in it. Guards say what may not be in the database already, and keep_alone what may
# not come later. A type is type:, dense: and the file of its name. access_method is the index, classes: are its
# operator classes for a type (whosever the type is), functions look inside. The version is that of the control file.
TYPES = type:vector dense:vector vector type:halfvec dense:halfvec halfvec type:sparsevec sparsevec bit type:int8vec int8vec
METHOD = access_method classes:vector classes:halfvec classes_bit classes_without_codes functions
quantvec_PIECES = guard_access_method guard_quantvec $(TYPES) $(METHOD) classes:int8vec keep_alone
quantvec_pgvector_PIECES = guard_access_method guard_pgvector $(METHOD)
vector_PIECES = guard_access_method $(TYPES) $(METHOD) classes:int8vec aliases
version_of = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(1).control)
DATA_built := $(foreach extension,$(EXTENSION),$(extension)--$(call version_of,$(extension)).sql)

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=$(CURDIR) --outputdir=$(or $(OUTPUTDIR),$(CURDIR)) --load-extension=quantvec
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

# Ours: C++20, nothing exported but what the version script names. A newer compiler or server may bring a warning
# that nobody has seen yet, so only the tests make errors of them (make WERROR=-Werror).
QV_STD = -std=c++20 -fno-exceptions -fno-rtti
QV_WARN = -Wall -Wextra $(WERROR)
# Contraction would make a multiply-add round once on one instruction set and twice on another.
QV_FLOAT = -ffp-contract=off -fno-math-errno
PG_CONFIG ?= pg_config
PG_CPPFLAGS = -I$(CURDIR)/src -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CXXFLAGS = $(QV_STD) $(QV_WARN) $(QV_FLOAT) -O3 -fvisibility=hidden -fvisibility-inlines-hidden -MMD -MP
# PGXS links with the C compiler.
SHLIB_LINK = -lstdc++ -lm -Wl,--version-script=$(CURDIR)/src/quantvec.map
EXTRA_CLEAN = $(OBJS:.o=.d) src/as_vector/settings.o src/as_vector/settings.d build results regression.diffs regression.out tmp_check output_iso log

# JIT inlining of our functions has no use, and PGXS would compile each file again with clang's defaults.
override with_llvm = no

WITHOUT_SERVER = unit unit-sanitize bench-kernels check-layers check-needs check-tests check-walks check-files format matrix fuzz fuzz-queries clients
ifneq ($(filter-out $(WITHOUT_SERVER),$(or $(MAKECMDGOALS),all)),)
LACKING := $(shell scripts/needs "$(PG_CONFIG)" "$(CXX)")
ifneq ($(LACKING),)
$(error $(LACKING))
endif
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
# Flags of the compiler that built the server, which ours may not know; of no effect on 64-bit processors.
override CXXFLAGS := $(filter-out -fexcess-precision=standard,$(CXXFLAGS))
endif

# The instruction sets. Flags by file: a function compiled with -mavx2 must never be shared with
# code that runs before the processor was asked (scripts/check-odr proves it).
QV_AVX2 = -mavx2 -mfma -mf16c
QV_AVX512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512cd -mfma -mf16c
QV_AVX512VBMI = $(QV_AVX512) -mavx512vbmi
ifneq ($(filter x86_64 amd64,$(shell uname -m)),)
src/core/kernels/target_avx2.o src/core/kernels/code_avx2.o: CXXFLAGS += $(QV_AVX2)
src/core/kernels/target_avx512.o src/core/kernels/code_avx512.o: CXXFLAGS += $(QV_AVX512)
src/core/kernels/code_avx512vbmi.o: CXXFLAGS += $(QV_AVX512VBMI)
build/unit/src/core/kernels/%_avx2.o build/san/src/core/kernels/%_avx2.o: TARGET_FLAGS = $(QV_AVX2)
build/unit/src/core/kernels/%_avx512.o build/san/src/core/kernels/%_avx512.o: TARGET_FLAGS = $(QV_AVX512)
build/unit/src/core/kernels/%_avx512vbmi.o build/san/src/core/kernels/%_avx512vbmi.o: TARGET_FLAGS = $(QV_AVX512VBMI)
build/bench/src/core/kernels/%_avx2.o: TARGET_FLAGS = $(QV_AVX2)
build/bench/src/core/kernels/%_avx512.o: TARGET_FLAGS = $(QV_AVX512)
build/bench/src/core/kernels/%_avx512vbmi.o: TARGET_FLAGS = $(QV_AVX512VBMI)
endif

$(OBJS) src/as_vector/settings.o: Makefile

$(DATA_built): $(wildcard sql/install/*) $(EXTENSION:=.control) scripts/install-script Makefile
	scripts/install-script $(firstword $(subst --, ,$@)) $($(firstword $(subst --, ,$@))_PIECES) > $@

# ---- an extension named vector, for where pgvector is not (docs/migrating.md) ----
AS_VERSION := $(call version_of,sql/install/vector)

build/as_vector/vector--$(AS_VERSION).sql: $(wildcard sql/install/*) scripts/install-script Makefile
	@mkdir -p $(@D)
	scripts/install-script vector $(vector_PIECES) > $@
build/as_vector/quantvec_as_vector.so: src/as_vector/settings.o
	@mkdir -p $(@D)
	$(CXX) -shared -o $@ $< $(SHLIB_LINK)
-include src/as_vector/settings.d

.PHONY: as-vector install-as-vector
as-vector: all build/as_vector/vector--$(AS_VERSION).sql build/as_vector/quantvec_as_vector.so
install-as-vector: as-vector
	scripts/pgvector-is-not-in '$(DESTDIR)$(datadir)/extension'
	$(MAKE) install
	$(INSTALL_SHLIB) build/as_vector/quantvec_as_vector.so '$(DESTDIR)$(pkglibdir)/'
	$(INSTALL_DATA) sql/install/vector.control build/as_vector/vector--$(AS_VERSION).sql '$(DESTDIR)$(datadir)/extension/'

-include $(OBJS:.o=.d)

# ---- unit tests: the core a second time, without the server's headers on the include path ----
UNIT_SRCS := $(sort $(wildcard test/unit/*.cpp))
UNIT_CXXFLAGS = $(QV_STD) $(QV_WARN) $(QV_FLOAT) -Isrc -Itest/unit -g -MMD -MP -DQV_ASSERTIONS
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

build/unit/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	$(CXX) $(UNIT_CXXFLAGS) -O2 $(TARGET_FLAGS) -c -o $@ $<
build/san/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	$(CXX) $(UNIT_CXXFLAGS) -O1 $(SANITIZE) $(TARGET_FLAGS) -c -o $@ $<

UNIT_OBJS := $(CORE_SRCS:%.cpp=build/unit/%.o) $(UNIT_SRCS:%.cpp=build/unit/%.o)
SAN_OBJS := $(UNIT_OBJS:build/unit/%=build/san/%)
build/unit/unit: $(UNIT_OBJS)
	$(CXX) -o $@ $^
build/san/unit: $(SAN_OBJS)
	$(CXX) $(SANITIZE) -o $@ $^
-include $(UNIT_OBJS:.o=.d) $(SAN_OBJS:.o=.d)

.PHONY: unit unit-sanitize rules check-layers check-odr check-headers check-needs check-tests check-walks check-files format
unit: build/unit/unit
	build/unit/unit
unit-sanitize: build/san/unit
	build/san/unit

# ---- times of the kernels, optimized as the shared library is ----
BENCH_OBJS := $(patsubst %.cpp,build/bench/%.o,$(wildcard src/core/kernels/*.cpp bench/kernels/*.cpp))

build/bench/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	$(CXX) $(QV_STD) $(QV_WARN) $(QV_FLOAT) -Isrc -Ibench/kernels -O3 -MMD -MP $(TARGET_FLAGS) -c -o $@ $<
build/bench/kernels: $(BENCH_OBJS)
	$(CXX) -o $@ $^
-include $(BENCH_OBJS:.o=.d)

.PHONY: bench-kernels
bench-kernels: build/bench/kernels
	build/bench/kernels "$$(git log -1 --format=%h -- src/core/kernels)"

# ---- a second library, with points where tests stop or hold it (src/pg/debug_point.h) ----
POINT_OBJS := $(patsubst %.cpp,build/points/%.o,$(shell grep -l 'debug_point\.h' $(PG_SRCS)))

build/points/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(CPPFLAGS) $(CXXFLAGS_SL) -DQUANTVEC_DEBUG_POINTS -fPIC -c -o $@ $<
build/points/quantvec.so: $(POINT_OBJS) $(OBJS)
	$(CXX) -shared -o $@ $(filter-out $(POINT_OBJS:build/points/%=%),$(OBJS)) $(POINT_OBJS) $(SHLIB_LINK)
-include $(POINT_OBJS:.o=.d)

.PHONY: points
points: build/points/quantvec.so

# ---- the rules that are scripts ----
rules: check-layers check-odr check-headers check-needs check-tests check-walks check-files
check-layers:
	scripts/check-layers
check-odr: all
	scripts/check-odr
check-headers:
	CXX="$(CXX)" PG_CONFIG="$(PG_CONFIG)" scripts/check-headers
check-needs:
	scripts/check-needs
check-tests:
	scripts/check-tests
check-walks:
	scripts/check-walks
check-files:
	scripts/check-files

.PHONY: matrix fuzz fuzz-queries clients
matrix:
	scripts/matrix $(SERVERS)
fuzz:
	scripts/fuzz $(FUZZ_RUNS)
fuzz-queries:
	./quickstart test queries
clients:
	test/clients/run

format:
	clang-format -i $(shell git ls-files '*.cpp' '*.h')
