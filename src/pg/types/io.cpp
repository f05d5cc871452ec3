// Types `vector` and `halfvec` for SQL: text, binary, type modifier. core/formats/dense.h draws the
// forms and reads them.
#include "core/formats/dense.h"
#include "pg/memory.h"
#include "pg/types/dense.h"
#include "pg/types/refuse.h"
#include "pg/types/text.h"

namespace quantvec::pg {

template <class Element>
char* FormatElements(std::span<const Element> values) {
    // FLOAT_SHORTEST_DECIMAL_LEN counts a terminating zero, which leaves room for the comma.
    char* text = NewArray<char>(values.size() * FLOAT_SHORTEST_DECIMAL_LEN + 3);
    char* at = text;
    *at++ = '[';
    for (Size i = 0; i < values.size(); ++i) {
        if (i > 0) *at++ = ',';
        at += float_to_shortest_decimal_bufn(ToFloat(values[i]), at);
    }
    *at++ = ']';
    *at = '\0';
    return text;
}

template char* FormatElements(std::span<const float>);
template char* FormatElements(std::span<const Half>);

namespace {

template <class Element>
Datum In(FunctionCallInfo fcinfo) {
    const char* text = PG_GETARG_CSTRING(0);
    const Source source = {kTypeName<Element>, text, kMaxDim, '[', fcinfo->context};
    auto* result = NewDense<Element>(static_cast<int>(formats::CountElements(text, kMaxDim)));
    const formats::DenseRead read = formats::ReadText(text, Values(result));
    if (read.refusal) {
        Refuse(read.refusal, source);
        PG_RETURN_NULL();
    }
    Assert(read.dim == Values(result).size());
    if (!FitsTypmod(PG_GETARG_INT32(2), result->dim, fcinfo->context)) PG_RETURN_NULL();
    PG_RETURN_POINTER(result);
}

template <class Element>
Datum Out(FunctionCallInfo fcinfo) {
    PG_RETURN_CSTRING(FormatElements(Values(GetDense<Element>(PG_GETARG_DATUM(0)))));
}

template <class Element>
Datum Recv(FunctionCallInfo fcinfo) {
    StringInfo message = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    const Source source = {kTypeName<Element>, nullptr, kMaxDim};
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(message->data);
    const formats::DenseMessage head =
        formats::ReadHead({bytes + message->cursor, bytes + message->len});
    Refuse(head.refusal, source);
    CheckDim(head.dim, kTypeName<Element>);
    CheckExpectedDim(PG_GETARG_INT32(2), head.dim);
    if (head.unused != 0) Refuse({.why = formats::Why::kNotUnused, .given = head.unused}, source);
    auto* result = NewDense<Element>(head.dim);
    Refuse(formats::ReadElements(head.elements, Values(result)), source);
    message->cursor = static_cast<int>(head.elements.data() - bytes + Values(result).size_bytes());
    PG_RETURN_POINTER(result);
}

void Send(StringInfo message, float value) {
    pq_sendfloat4(message, value);
}
void Send(StringInfo message, Half value) {
    pq_sendint16(message, value.bits);
}

template <class Element>
Datum Send(FunctionCallInfo fcinfo) {
    const auto* v = GetDense<Element>(PG_GETARG_DATUM(0));
    StringInfoData message;
    pq_begintypsend(&message);
    pq_sendint16(&message, static_cast<uint16>(v->dim));
    pq_sendint16(&message, static_cast<uint16>(v->unused));
    for (const Element value : Values(v)) Send(&message, value);
    PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

template <class Element>
Datum TypmodIn(FunctionCallInfo fcinfo) {
    PG_RETURN_INT32(DimOfTypmod(PG_GETARG_ARRAYTYPE_P(0), kTypeName<Element>, kMaxDim));
}

}  // namespace
}  // namespace quantvec::pg

using namespace quantvec::pg;

QV_DENSE_FUNCTION(in, In)
QV_DENSE_FUNCTION(out, Out)
QV_DENSE_FUNCTION(recv, Recv)
QV_DENSE_FUNCTION(send, Send)
QV_DENSE_FUNCTION(typmod_in, TypmodIn)
