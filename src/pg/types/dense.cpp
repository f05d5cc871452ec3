// Values of `vector` and `halfvec`: how they are made, and how a datum becomes one.
#include "pg/types/dense.h"

#include <cmath>

#include "pg/memory.h"

namespace quantvec::pg {

template <class Element>
Dense<Element>* NewDense(int dim) {
    auto* v = NewValue<Dense<Element>>(DenseBytes<Element>(dim));
    v->dim = static_cast<int16>(dim);
    return v;
}

template <class Element>
const Dense<Element>* GetDense(Datum datum) {
    const auto* v = reinterpret_cast<const Dense<Element>*>(PG_DETOAST_DATUM(datum));
    const Size bytes = VARSIZE(v);
    const int dim = bytes < DenseBytes<Element>(1) ? 0 : v->dim;
    if (dim < 1 || bytes != DenseBytes<Element>(dim))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("damaged value of type %s: %d dimensions in %zu bytes",
                               kTypeName<Element>, dim, bytes)));
    return v;
}

template <class Element>
Element Narrow(float x) {
    const Element element = Nearest<Element>(x);
    if (std::isinf(ToFloat(element)) && !std::isinf(x)) {
        char text[FLOAT_SHORTEST_DECIMAL_LEN];
        float_to_shortest_decimal_buf(x, text);
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                        errmsg("\"%s\" is out of range for type %s", text, kTypeName<Element>)));
    }
    return element;
}

template Dense<float>* NewDense(int);
template Dense<Half>* NewDense(int);
template const Dense<float>* GetDense(Datum);
template const Dense<Half>* GetDense(Datum);
template float Narrow(float);
template Half Narrow(float);

}  // namespace quantvec::pg
