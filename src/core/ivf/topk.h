// This file owns the heaps, all over the caller's memory: the threshold of a scan, and queues in
// the order of a key.
#pragma once

#include "core/view.h"

namespace quantvec::ivf {

// Keeps the k smallest of the values that it is given. The largest of these is the threshold.
class SmallestK {
  public:
    // memory [k]
    void Reset(float* memory, std::size_t k) {
        heap_ = memory;
        k_ = k;
        size_ = 0;
    }
    // The k-th smallest value so far, or infinity while there are fewer.
    float Threshold() const { return size_ < k_ ? __builtin_inff() : heap_[0]; }

    void Push(float value) {
        if (size_ < k_) {
            std::size_t i = size_++;
            while (i > 0 && heap_[(i - 1) / 2] < value) {
                heap_[i] = heap_[(i - 1) / 2];
                i = (i - 1) / 2;
            }
            heap_[i] = value;
        } else if (k_ > 0 && value < heap_[0]) {
            std::size_t i = 0;
            for (;;) {
                std::size_t child = 2 * i + 1;
                if (child >= size_) break;
                if (child + 1 < size_ && heap_[child + 1] > heap_[child]) child++;
                if (!(heap_[child] > value)) break;
                heap_[i] = heap_[child];
                i = child;
            }
            heap_[i] = value;
        }
    }

  private:
    float* heap_ = nullptr;
    std::size_t k_ = 0;
    std::size_t size_ = 0;
};

// Binary min-heap over an array of items ordered by `Item::Before(const Item&)`.
template <typename Item>
void HeapSiftUp(Item* heap, std::size_t i) {
    const Item item = heap[i];
    while (i > 0 && item.Before(heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = item;
}

template <typename Item>
void HeapSiftDown(Item* heap, std::size_t size, std::size_t i) {
    const Item item = heap[i];
    for (;;) {
        std::size_t child = 2 * i + 1;
        if (child >= size) break;
        if (child + 1 < size && heap[child + 1].Before(heap[child])) child++;
        if (!heap[child].Before(item)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = item;
}

template <typename Item>
void MakeHeap(Item* heap, std::size_t size) {
    for (std::size_t i = size / 2; i-- > 0;) HeapSiftDown(heap, size, i);
}

// Removes the first item, heap[0], which the caller has read before. Returns the new size.
template <typename Item>
std::size_t PopHeap(Item* heap, std::size_t size) {
    heap[0] = heap[size - 1];
    if (size > 1) HeapSiftDown(heap, size - 1, 0);
    return size - 1;
}

}  // namespace quantvec::ivf
