// avg over `vector` and `halfvec`, serial and parallel. (sum adds with the operator +.)
//
// The state is float8[]: how many vectors came, then the sum of each dimension. {0} before the
// first. Anybody may call these functions with an array of his own, so its shape is checked.
#include <algorithm>
#include <cmath>

#include "pg/memory.h"
#include "pg/types/dense.h"

namespace quantvec::pg {
namespace {

struct State {
    ArrayType* array;
    double* count;
    std::span<double> sums;
};

State GetState(ArrayType* array, const char* caller) {
    if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] < 1 || ARR_HASNULL(array) ||
        ARR_ELEMTYPE(array) != FLOAT8OID)
        elog(ERROR, "%s: expected state array", caller);
    auto* values = reinterpret_cast<double*>(ARR_DATA_PTR(array));
    return {array, values, {values + 1, static_cast<Size>(ARR_DIMS(array)[0] - 1)}};
}

State NewState(Size dim) {
    const Size bytes = ARR_OVERHEAD_NONULLS(1) + sizeof(double) * (dim + 1);
    auto* array = NewValue<ArrayType>(bytes);
    array->ndim = 1;
    array->elemtype = FLOAT8OID;
    ARR_DIMS(array)[0] = static_cast<int>(dim + 1);
    ARR_LBOUND(array)[0] = 1;
    const State state = GetState(array, "");
    // Not 0, which would take the sign from a sum of -0 alone.
    std::fill(state.sums.begin(), state.sums.end(), -0.0);
    return state;
}

// The array that a transition may write into: its own argument where an aggregate calls it, which
// owns the state; else a copy.
ArrayType* GetWritable(FunctionCallInfo fcinfo) {
    return AggCheckCallContext(fcinfo, nullptr) ? PG_GETARG_ARRAYTYPE_P(0)
                                                : PG_GETARG_ARRAYTYPE_P_COPY(0);
}

// `value(i)` is added to the sum of dimension i.
template <class Value>
void AddTo(const State& state, double count, Value value) {
    bool overflow = false;
    for (Size i = 0; i < state.sums.size(); ++i) {
        state.sums[i] += value(i);
        overflow |= std::isinf(state.sums[i]);
    }
    if (overflow) float_overflow_error();
    *state.count += count;
}

template <class Element>
constexpr const char* kAccum = sizeof(Element) == sizeof(float) ? "vector_accum" : "halfvec_accum";
template <class Element>
constexpr const char* kAvg = sizeof(Element) == sizeof(float) ? "vector_avg" : "halfvec_avg";

template <class Element>
Datum Accumulate(FunctionCallInfo fcinfo) {
    State state = GetState(GetWritable(fcinfo), kAccum<Element>);
    const auto values = Values(GetDense<Element>(PG_GETARG_DATUM(1)));
    if (state.sums.empty()) {
        const double count = *state.count;
        state = NewState(values.size());
        *state.count = count;
    }
    CheckExpectedDim(static_cast<int>(state.sums.size()), static_cast<int>(values.size()));
    AddTo(state, 1, [&](Size i) { return static_cast<double>(ToFloat(values[i])); });
    PG_RETURN_ARRAYTYPE_P(state.array);
}

template <class Element>
Datum Average(FunctionCallInfo fcinfo) {
    const State state = GetState(PG_GETARG_ARRAYTYPE_P(0), kAvg<Element>);
    // Of no values: NULL.
    if (*state.count == 0) PG_RETURN_NULL();
    const int dim = static_cast<int>(state.sums.size());
    CheckDim(dim, kTypeName<Element>);
    auto* result = NewDense<Element>(dim);
    for (int i = 0; i < dim; ++i) {
        result->x[i] = Narrow<Element>(static_cast<float>(state.sums[i] / *state.count));
        CheckElement(ToFloat(result->x[i]), kTypeName<Element>);
    }
    PG_RETURN_POINTER(result);
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;

QV_DENSE_FUNCTION(accum, Accumulate)
QV_DENSE_FUNCTION(avg, Average)

// For both types: the state knows of elements nothing but sums.
QV_SQL_FUNCTION(quantvec_vector_combine) {
    const State a = GetState(GetWritable(fcinfo), "vector_combine");
    const State b = GetState(PG_GETARG_ARRAYTYPE_P(1), "vector_combine");
    for (const State& state : {a, b})
        if (!state.sums.empty()) CheckDim(static_cast<int>(state.sums.size()));
    if (a.sums.empty()) {
        const State sum = NewState(b.sums.size());
        *sum.count = *a.count;
        AddTo(sum, *b.count, [&](Size i) { return b.sums[i]; });
        PG_RETURN_ARRAYTYPE_P(sum.array);
    }
    if (b.sums.empty()) {
        *a.count += *b.count;
        PG_RETURN_ARRAYTYPE_P(a.array);
    }
    CheckExpectedDim(static_cast<int>(a.sums.size()), static_cast<int>(b.sums.size()));
    AddTo(a, *b.count, [&](Size i) { return b.sums[i]; });
    PG_RETURN_ARRAYTYPE_P(a.array);
}
