// This file owns the frame of every page of an index: the bytes before and after the payload.
//
//   0        24      64                                                    8128          8192
//   +--------+-------+------------------------------------------------------+-------------+
//   | server | zeros | payload: 8064 bytes, 126 lines of 64                 | PageTail    |
//   | header |       |                                                      | (special)   |
//   +--------+-------+------------------------------------------------------+-------------+
//
// pd_lower is the end of the bytes that were written, because Generic WAL keeps nothing between
// pd_lower and pd_upper. Pages of one kind and owner form a chain. A chain's payloads, one after
// the other, are a stream of bytes: position p of a stream is on the page with ordinal p / 8064.
#pragma once

#include "core/view.h"

namespace quantvec::ivf {

inline constexpr std::size_t kPageBytes = 8192;
inline constexpr std::size_t kPayloadAt = 64;
inline constexpr std::size_t kPayloadBytes = 8064;
inline constexpr std::size_t kPayloadEnd = kPayloadAt + kPayloadBytes;

// The server's InvalidBlockNumber.
inline constexpr std::uint32_t kNoPage = 0xffffffffu;

// The number of pages that a stream of `bytes` bytes takes.
constexpr std::uint32_t PagesFor(std::uint64_t bytes) {
    return static_cast<std::uint32_t>((bytes + kPayloadBytes - 1) / kPayloadBytes);
}

// Stored: never renumber.
enum class PageKind : std::uint16_t {
    kMeta = 1,
    kModel = 2,      // the stored mean
    kCentroid = 3,   // centroid nodes
    kDirectory = 4,  // list entries
    kScan = 5,       // blocks of a list
    kRefine = 6,     // refine rows of a list
};

// Ends every page.
struct PageTail {
    std::uint64_t generation;  // of the list (or of the model, the directory) that owns the page
    std::uint64_t deleted_at;  // full transaction id after which nobody can still read it; 0: alive
    std::uint32_t owner;       // list id; 0 for pages that belong to no list
    std::uint32_t next;        // next page of the chain, or kNoPage
    std::uint32_t ordinal;     // position in the chain, from 0
    std::uint32_t crc;         // CRC-32C of the payload: meta, model and centroid pages
    PageKind kind;
    std::uint16_t first_block;  // scan: page offset of the first block head here; 0: none
    std::uint16_t blocks;       // scan: published block heads here
    std::uint16_t flags;        // kSealed
    std::uint32_t head_page;    // scan: page with the head of the block that begins or goes on last
    std::uint32_t reserved[4];
    std::uint32_t identity;  // kIdentity
};
static_assert(sizeof(PageTail) == 64);

// A flag of a list's last page, through which every further row would come: no row may come until a
// new model is in place.
inline constexpr std::uint16_t kSealed = 1;

inline constexpr std::uint32_t kIdentity = 0x43455651;  // "QVEC"

inline PageTail* TailOf(std::uint8_t* page) {
    return reinterpret_cast<PageTail*>(page + kPayloadEnd);
}
inline const PageTail* TailOf(const std::uint8_t* page) {
    return reinterpret_cast<const PageTail*>(page + kPayloadEnd);
}

}  // namespace quantvec::ivf
