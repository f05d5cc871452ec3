// Memory of the server, with the types of what lies in it. An ERROR is a longjmp: contexts are
// freed, destructors are not called. So what lies here has none, which the compiler checks.
#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "pg/pg.h"

namespace quantvec::pg {

// Without a destructor, and whole after its bytes were copied: repalloc moves it.
template <typename T>
constexpr void CheckMayLieInContext() {
    static_assert(std::is_trivially_destructible_v<T>, "an ERROR would not call the destructor");
    static_assert(std::is_trivially_copyable_v<T>, "the server moves memory byte by byte");
    static_assert(alignof(T) <= MAXIMUM_ALIGNOF, "the server aligns memory less");
}

// One object, made by its constructor; a class without one is all zeros.
template <typename T, typename... Args>
T* NewIn(MemoryContext context, Args&&... args) {
    CheckMayLieInContext<T>();
    return new (MemoryContextAlloc(context, sizeof(T))) T(std::forward<Args>(args)...);
}
template <typename T, typename... Args>
T* New(Args&&... args) {
    return NewIn<T>(CurrentMemoryContext, std::forward<Args>(args)...);
}

// Elements without values. They may take more than a gigabyte, where palloc ends.
template <typename T>
T* NewArrayIn(MemoryContext context, std::size_t size) {
    CheckMayLieInContext<T>();
    return static_cast<T*>(MemoryContextAllocHuge(context, size * sizeof(T)));
}
template <typename T>
T* NewArray(std::size_t size) {
    return NewArrayIn<T>(CurrentMemoryContext, size);
}
template <typename T>
T* NewZeroedArray(std::size_t size) {
    CheckMayLieInContext<T>();
    return static_cast<T*>(MemoryContextAllocExtended(CurrentMemoryContext, size * sizeof(T),
                                                      MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
}
template <typename T>
std::span<T> NewSpanIn(MemoryContext context, std::size_t size) {
    return {NewArrayIn<T>(context, size), size};
}
template <typename T>
std::span<T> NewSpan(std::size_t size) {
    return NewSpanIn<T>(CurrentMemoryContext, size);
}
template <typename T>
std::span<T> NewZeroedSpan(std::size_t size) {
    return {NewZeroedArray<T>(size), size};
}

// A value of `bytes` bytes in all: its header is set, the rest is zeros. Values end at a gigabyte.
template <typename T>
T* NewValueIn(MemoryContext context, std::size_t bytes) {
    CheckMayLieInContext<T>();
    auto* value = static_cast<T*>(MemoryContextAllocZero(context, bytes));
    SET_VARSIZE(value, bytes);
    return value;
}
template <typename T>
T* NewValue(std::size_t bytes) {
    return NewValueIn<T>(CurrentMemoryContext, bytes);
}

// A growing array; zeros are an empty one. The memory context frees it.
template <typename T>
struct Array {
    T* items;
    std::size_t size;
    std::size_t capacity;

    void Reset() { *this = {}; }
    // Room for `room` elements in all. `context`: where the first room is taken.
    void Reserve(std::size_t room, MemoryContext context) {
        CheckMayLieInContext<T>();
        if (room <= capacity) return;
        items = items ? static_cast<T*>(repalloc_huge(items, room * sizeof(T)))
                      : NewArrayIn<T>(context, room);
        capacity = room;
    }
    T& Push(MemoryContext context) {
        if (size == capacity) Reserve(Max(std::size_t{64}, capacity * 2), context);
        return items[size++];
    }
};

// Memory is taken from `context` until Leave. No destructor leaves: after an ERROR none is called,
// and the server goes back by itself.
class [[nodiscard]] MemoryScope {
  public:
    explicit MemoryScope(MemoryContext context) : outer_(MemoryContextSwitchTo(context)) {}
    void Leave() const { MemoryContextSwitchTo(outer_); }
    MemoryContext outer() const { return outer_; }

  private:
    MemoryContext outer_;
};

// Calls done(arg) when the context is reset or deleted, after an ERROR too.
inline void AtReset(MemoryContext context, MemoryContextCallbackFunction done, void* arg) {
    auto* callback = NewIn<MemoryContextCallback>(context);
    callback->func = done;
    callback->arg = arg;
    MemoryContextRegisterResetCallback(context, callback);
}

}  // namespace quantvec::pg
