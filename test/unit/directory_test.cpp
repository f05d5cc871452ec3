// Entries of other sizes than ours: of versions with fewer fields, and with more.
#include "unit.h"

#include "core/ivf/directory.h"

#include <cstring>
#include <vector>

using namespace quantvec;
using ivf::ListEntry;
using unit::Where;

TEST(EntriesOfNoSizeStraddlePages) {
    for (std::size_t bytes = 0; bytes <= 2 * ivf::kPayloadBytes; bytes++) {
        if (!ivf::IsEntrySize(bytes)) continue;
        Where("%zu bytes", bytes);
        std::size_t stream = 0;
        for (std::size_t i = 0; i < 500; i++, stream += bytes) {
            const ivf::EntrySpot spot = ivf::SpotOfEntry(i, bytes);
            // Where it is in the stream of the pages' payloads, which readers of all entries follow.
            CHECK_EQ(spot.ordinal * ivf::kPayloadBytes + (spot.offset - ivf::kPayloadAt), stream);
            CHECK(spot.offset + bytes <= ivf::kPayloadEnd);
        }
    }
    CHECK(!ivf::IsEntrySize(0));
    CHECK(!ivf::IsEntrySize(64));                      // less than every version has
    CHECK(!ivf::IsEntrySize(104));                     // would straddle pages
    CHECK(!ivf::IsEntrySize(2 * ivf::kPayloadBytes));  // longer than a page
    for (std::size_t bytes : {72, 96, 112, 128, 8064}) CHECK(ivf::IsEntrySize(bytes));
}

TEST(WhatAnEntryLacksIsZero) {
    std::vector<std::uint8_t> stored(128, 0xff);
    ListEntry entry = {};
    entry.generation = 7;
    entry.state = ivf::ListState::kActive;
    for (auto& word : entry.reserved) word = 5;
    ivf::StoreEntry(entry, 72, stored.data());
    for (std::size_t i = 72; i < stored.size(); i++) CHECK_EQ(stored[i], 0xff);
    const ListEntry read = ivf::LoadEntry(stored.data(), 72);
    CHECK_EQ(read.generation, 7u);
    CHECK(read.state == ivf::ListState::kActive);
    CHECK_EQ(read.reserved[0], 5u);  // bytes 68 to 72
    for (std::size_t i = 1; i < 7; i++) CHECK_EQ(read.reserved[i], 0u);
}

TEST(WhatIsNotKnownOfAnEntryStays) {
    std::vector<std::uint8_t> stored(128, 0xee);
    ListEntry entry = {};
    entry.list_id = 3;
    ivf::StoreEntry(entry, stored.size(), stored.data());
    const ListEntry read = ivf::LoadEntry(stored.data(), stored.size());
    CHECK_EQ(std::memcmp(&read, &entry, sizeof entry), 0);
    for (std::size_t i = sizeof entry; i < stored.size(); i++) CHECK_EQ(stored[i], 0xee);
}
