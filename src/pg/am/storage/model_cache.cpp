// Models are kept for as long as they are used, and a few that are not.
#include "pg/am/storage/model_cache.h"

#include "pg/am/options.h"
#include "pg/am/storage/model_read.h"
#include "pg/compat.h"
#include "pg/memory.h"

namespace quantvec::pg {

namespace {

Model* cache = nullptr;
std::uint64_t clock = 0;

void Evict(Model** link) {
    Model* model = *link;
    *link = model->next;
    MemoryContextDelete(model->context);
}

std::size_t BytesOf(const Model& model) {
    return MemoryContextMemAllocated(model.context, true);
}

// Frees models that nobody uses: those that are outdated, and the least recently used beyond the
// setting. The one that was used last stays whatever its size, so that a session with one index
// reads it once.
void Prune() {
    const std::size_t limit = static_cast<std::size_t>(setting_model_cache_size) * 1024;
    std::size_t bytes = 0, count = 0;
    for (Model** link = &cache; *link;) {
        const Model& model = **link;
        if (model.references == 0 && model.outdated) {
            Evict(link);
            continue;
        }
        if (model.references == 0) {
            bytes += BytesOf(model);
            count++;
        }
        link = &(*link)->next;
    }
    for (; bytes > limit && count > 1; count--) {
        Model** oldest = nullptr;
        for (Model** link = &cache; *link; link = &(*link)->next)
            if ((*link)->references == 0 && (!oldest || (*link)->last_use < (*oldest)->last_use))
                oldest = link;
        bytes -= BytesOf(**oldest);
        Evict(oldest);
    }
}

// The server says that what it knows of a relation (InvalidOid: of all) has changed. Whether an
// index was dropped, has another file or was only analyzed is not known here, where catalogs cannot
// be read: its model goes, at once or when it is released. An index that is still there costs a
// reading of its model.
void ForgetModel(Datum, Oid relation) {
    for (Model* model = cache; model; model = model->next)
        if (!OidIsValid(relation) || model->relation == relation) model->outdated = true;
    Prune();
}

// Models are freed here and not when one is loaded: a query over many partitions then finds those
// that were kept, instead of freeing each just before it is needed.
void ReleaseModel(void* arg) {
    static_cast<Model*>(arg)->references--;
    Prune();
}

}  // namespace

void InitModelCache() {
    CacheRegisterRelcacheCallback(ForgetModel, Datum{0});
}

Model* AcquireModel(Relation index, MemoryContext owner, bool writing) {
    MetaPage meta = ReadMeta(index, writing);
    const FileId file = FileIdOf(index);
    Model* model = cache;
    while (model && !(SameFile(model->file, file) && memcmp(&model->meta, &meta, sizeof meta) == 0))
        model = model->next;
    while (!model) {
        // Once in the life of the model.
        meta = ReadMeta(index, writing, true);
        // Other builds of this file are of no more use.
        for (Model* other = cache; other; other = other->next)
            if (SameFile(other->file, file) && other->meta.build_id != meta.build_id)
                other->outdated = true;
        // Until it is whole, the model belongs to the caller's memory, which an ERROR frees.
        MemoryContext context =
            AllocSetContextCreate(CurrentMemoryContext, "quantvec model", ALLOCSET_DEFAULT_SIZES);
        const MemoryScope scope(context);
        model = ReadModel(index, meta);
        scope.Leave();
        if (!model) {
            MemoryContextDelete(context);
            continue;
        }
        model->relation = RelationGetRelid(index);
        model->file = file;
        model->context = context;
        MemoryContextSetParent(context, CacheMemoryContext);
        model->next = cache;
        cache = model;
    }
    model->last_use = ++clock;
    model->outdated = false;
    AtReset(owner, ReleaseModel, model);
    model->references++;
    return model;
}

}  // namespace quantvec::pg
