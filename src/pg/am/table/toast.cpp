// The chunks of one value after the other, through an index scan that stays open.
#include "pg/am/table/toast.h"

#include "pg/compat.h"
#include "pg/memory.h"
#include "pg/types/known_distance.h"

namespace quantvec::pg {

namespace {

// Columns of a TOAST table.
constexpr AttrNumber kChunkId = 1, kChunkSeq = 2, kChunkData = 3;

void Open(ToastReader& reader) {
    const MemoryScope scope(reader.context);
    reader.table = table_open(reader.table_id, AccessShareLock);
    reader.index =
        index_open(toast_get_valid_index(reader.table_id, AccessShareLock), AccessShareLock);
    ToastSnapshot(reader.snapshot);
    reader.scan = BeginIndexScan(reader.table, reader.index, &reader.snapshot, 1);
    reader.slot = table_slot_create(reader.table, nullptr);
    scope.Leave();
}

void FindValue(ToastReader& reader, Oid value_id) {
    ScanKeyData key;
    ScanKeyInit(&key, kChunkId, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value_id));
    index_rescan(reader.scan, &key, 1, nullptr, 0);
}

// Copies the chunk in the slot to its place. false: it is not the one expected.
bool TakeChunk(const ToastReader& reader, Size size, Size done, Size* taken) {
    bool isnull = false;
    const int32 seq = DatumGetInt32(slot_getattr(reader.slot, kChunkSeq, &isnull));
    const Datum chunk = slot_getattr(reader.slot, kChunkData, &isnull);
    if (isnull || static_cast<Size>(seq) * TOAST_MAX_CHUNK_SIZE != done) return false;
    const auto* bytes = reinterpret_cast<const struct varlena*>(DatumGetPointer(chunk));
    if (VARATT_IS_EXTERNAL(bytes) || VARATT_IS_COMPRESSED(bytes)) return false;
    *taken = VARSIZE_ANY_EXHDR(bytes);
    if (*taken != Min(Size{TOAST_MAX_CHUNK_SIZE}, size - done)) return false;
    memcpy(VARDATA(reader.value) + done, VARDATA_ANY(bytes), *taken);
    return true;
}

}  // namespace

void BeginToast(ToastReader& reader, Relation heap, MemoryContext context) {
    reader = {};
    reader.context = context;
    const Oid table_id = heap->rd_rel->reltoastrelid;
    // Another kind of table may keep its values in another way.
    if (OidIsValid(table_id) && heap->rd_tableam == GetHeapamTableAmRoutine())
        reader.table_id = table_id;
}

const struct varlena* ReadToast(ToastReader& reader, Datum datum, Oid* value_id) {
    varatt_external pointer;
    if (!IsStoredOutOfLine(datum, &pointer) || pointer.va_toastrelid != reader.table_id ||
        VARATT_EXTERNAL_IS_COMPRESSED(pointer))
        return nullptr;
    if (!reader.table) Open(reader);

    const Size size = VARATT_EXTERNAL_GET_EXTSIZE(pointer);
    if (size + VARHDRSZ > reader.capacity) {
        if (reader.value) pfree(reader.value);
        reader.capacity = size + VARHDRSZ;
        reader.value = NewValueIn<struct varlena>(reader.context, reader.capacity);
    }
    SET_VARSIZE(reader.value, size + VARHDRSZ);

    FindValue(reader, pointer.va_valueid);
    Size done = 0;
    while (done < size && index_getnext_slot(reader.scan, ForwardScanDirection, reader.slot)) {
        Size taken = 0;
        if (!TakeChunk(reader, size, done, &taken)) return nullptr;
        done += taken;
    }
    if (done != size) return nullptr;
    *value_id = pointer.va_valueid;
    return reader.value;
}

void OpenToast(ToastReader& reader) {
    if (OidIsValid(reader.table_id) && !reader.table) Open(reader);
}

bool ToastIsThere(ToastReader& reader, Datum datum) {
    varatt_external pointer;
    if (!IsStoredOutOfLine(datum, &pointer) || pointer.va_toastrelid != reader.table_id)
        return true;
    if (!reader.table) Open(reader);
    FindValue(reader, pointer.va_valueid);
    Size found = 0;
    while (index_getnext_slot(reader.scan, ForwardScanDirection, reader.slot)) {
        bool isnull = false;
        const Datum chunk = slot_getattr(reader.slot, kChunkData, &isnull);
        if (!isnull) found += VARSIZE_ANY_EXHDR(DatumGetPointer(chunk));
    }
    return found >= VARATT_EXTERNAL_GET_EXTSIZE(pointer);
}

void ReleaseToast(ToastReader& reader) {
    if (!reader.table) return;
    ExecClearTuple(reader.slot);
    // Drops the pins of the index scan and of its fetches; no value has this id.
    FindValue(reader, InvalidOid);
}

void EndToast(ToastReader& reader) {
    if (!reader.table) return;
    ExecDropSingleTupleTableSlot(reader.slot);
    index_endscan(reader.scan);
    index_close(reader.index, AccessShareLock);
    table_close(reader.table, AccessShareLock);
    reader = {};
}

}  // namespace quantvec::pg
