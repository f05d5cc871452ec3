// The heaps against sorting.
#include "unit.h"

#include "core/ivf/topk.h"

#include <algorithm>
#include <limits>
#include <queue>

using namespace quantvec;
using unit::Random;
using unit::Where;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Item {
    float key;
    int id;

    bool Before(const Item& other) const { return key < other.key; }
};

// Many values, few different ones, in rising and in falling order, infinities between.
std::vector<std::vector<float>> Inputs() {
    Random random(1);
    std::vector<std::vector<float>> inputs;
    for (std::size_t n : {0, 1, 2, 3, 10, 100, 1000}) {
        inputs.push_back(random.Gaussians(n));
        std::vector<float> few(n), rising(n), falling(n), wild = random.Gaussians(n);
        for (std::size_t i = 0; i < n; ++i) {
            few[i] = static_cast<float>(random.Below(4));
            rising[i] = static_cast<float>(i);
            falling[i] = -static_cast<float>(i);
            if (random.Below(5) == 0) wild[i] = kInfinity;
            if (random.Below(5) == 0) wild[i] = -kInfinity;
        }
        inputs.insert(inputs.end(), {few, rising, falling, wild, std::vector<float>(n, 7.0f)});
    }
    return inputs;
}

}  // namespace

TEST(SmallestKIsTheSortedK) {
    for (const std::vector<float>& input : Inputs())
        for (std::size_t k : {1, 2, 3, 7, 10, 64, 99, 1000, 2000}) {
            // k values exactly: a sanitizer sees a step beyond.
            std::vector<float> memory(k), sorted;
            ivf::SmallestK smallest;
            smallest.Reset(memory.data(), k);
            CHECK_EQ(smallest.Threshold(), kInfinity);
            for (std::size_t i = 0; i < input.size(); ++i) {
                smallest.Push(input[i]);
                sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), input[i]), input[i]);
                Where("k=%zu pushed=%zu of %zu", k, i + 1, input.size());
                CHECK_EQ(smallest.Threshold(), i + 1 < k ? kInfinity : sorted[k - 1]);
            }
            std::vector<float> kept(memory.begin(),
                                    memory.begin() + static_cast<long>(std::min(k, input.size())));
            std::sort(kept.begin(), kept.end());
            sorted.resize(kept.size());
            CHECK(kept == sorted);
        }
}

TEST(SmallestKResets) {
    std::vector<float> memory = {1, 2, 3};
    ivf::SmallestK smallest;
    smallest.Reset(memory.data(), 3);
    for (float x : {1.0f, 2.0f, 3.0f}) smallest.Push(x);
    CHECK_EQ(smallest.Threshold(), 3);
    smallest.Reset(memory.data(), 2);
    CHECK_EQ(smallest.Threshold(), kInfinity);
    smallest.Push(9);
    CHECK_EQ(smallest.Threshold(), kInfinity);
    smallest.Push(8);
    CHECK_EQ(smallest.Threshold(), 9);
}

TEST(HeapPopsInOrder) {
    for (const std::vector<float>& input : Inputs()) {
        std::vector<Item> heap;
        for (std::size_t i = 0; i < input.size(); ++i)
            heap.push_back({input[i], static_cast<int>(i)});
        ivf::MakeHeap(heap.data(), heap.size());
        std::vector<float> sorted = input, popped;
        std::sort(sorted.begin(), sorted.end());
        std::vector<bool> seen(input.size());
        std::size_t size = heap.size();
        while (size > 0) {
            popped.push_back(heap[0].key);
            const auto id = static_cast<std::size_t>(heap[0].id);
            CHECK(!seen[id] && input[id] == heap[0].key);
            seen[id] = true;
            const std::size_t less = ivf::PopHeap(heap.data(), size);
            CHECK_EQ(less, size - 1);
            size = less;
        }
        Where("n=%zu", input.size());
        CHECK(popped == sorted);
    }
}

// Pushes and pops mixed, and first items that change their key, beside the library's queue.
TEST(HeapUnderPushAndPop) {
    Random random(2);
    std::vector<Item> heap(1000);
    std::size_t size = 0;
    std::priority_queue<float, std::vector<float>, std::greater<>> queue;
    for (int step = 0; step < 20000; ++step) {
        Where("step %d", step);
        const std::uint64_t action = random.Below(5);
        const auto key = static_cast<float>(random.Below(500));
        if (action < 2 && size < heap.size()) {
            heap[size] = {key, step};
            ivf::HeapSiftUp(heap.data(), size++);
            queue.push(key);
        } else if (action < 4 && size > 0) {
            CHECK_EQ(heap[0].key, queue.top());
            size = ivf::PopHeap(heap.data(), size);
            queue.pop();
        } else if (size > 0) {
            const float later = heap[0].key + key;
            heap[0].key = later;
            ivf::HeapSiftDown(heap.data(), size, 0);
            queue.pop();
            queue.push(later);
        }
        CHECK_EQ(size, queue.size());
        if (size > 0) CHECK_EQ(heap[0].key, queue.top());
    }
}
