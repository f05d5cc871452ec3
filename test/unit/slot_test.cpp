// Lists that grow in memory, row by row: the finder leads from any page to the next slot, what a
// crash leaves behind harms nobody, and in the end every row is read back whole.
#include "codes.h"
#include "unit.h"

#include "core/ivf/slot.h"

#include <cstring>

using namespace quantvec;
using namespace quantvec::unit;
using Step = ivf::SlotFinder::Step;

namespace {

constexpr std::uint32_t kList = 5;
constexpr std::uint64_t kGeneration = 11;

class Chain {
  public:
    Chain(const Spec& spec, std::uint64_t seed) : layout_(ivf::MakeLayout(spec)), random_(seed) {
        AddPage(ivf::kNoPage);
    }

    const ivf::BlockLayout& layout() const { return layout_; }
    std::size_t pages() const { return pages_.size(); }
    std::uint8_t* page(std::size_t i) { return reinterpret_cast<std::uint8_t*>(pages_[i].data()); }
    ivf::PageTail& tail(std::size_t i) { return *ivf::TailOf(page(i)); }

    Row NewRow() {
        Row row;
        row.code = random_.Bytes(layout_.scan_row_bytes);
        row.factors = {static_cast<float>(random_.Uniform()), 0, 7, 9};
        return row;
    }

    // From page `at` to the next slot; false: damage. It comes to an end in any case.
    bool Find(std::size_t at, ivf::Slot& slot, std::size_t& page) {
        ivf::SlotFinder finder(layout_, ivf::kNoPage);
        for (std::size_t looks = 0; looks <= 2 * pages_.size() + 2; looks++) {
            const Step step = finder.Look(this->page(at), static_cast<std::uint32_t>(at));
            if (step == Step::kDamaged) return false;
            if (step == Step::kHere) {
                slot = finder.slot();
                page = at;
                return true;
            }
            at = step == Step::kBack ? tail(at).head_page : Next(at, finder.head_page());
        }
        CHECK(!"the finder goes in a circle");
        return false;
    }

    // The steps of one row, of which a crash leaves the first `steps`; each is one record. Returns
    // whether the row was published.
    bool Append(const Row& row, std::size_t from, std::size_t steps) {
        ivf::Slot slot;
        std::size_t head_page;
        const bool found = Find(from, slot, head_page);
        CHECK(found);
        if (!found) return false;
        const std::size_t needed = layout_.quantizer->CodeBytesFor(layout_.spec, slot.used + 1);
        std::vector<std::uint8_t> code = row.code;
        const quant::EncodedRow encoded = {row.factors, code, {}};
        ivf::PieceCursor pieces = ivf::PiecesOf(layout_, slot.at);
        const ivf::Piece here = pieces.Take();
        const auto head_number = static_cast<std::uint32_t>(head_page);
        for (std::size_t at = head_page; !pieces.Has(needed);) {
            if (steps-- == 0) return false;
            at = Next(at, head_number);
            const ivf::Piece piece = pieces.Take();
            if (!ivf::PieceHasSlot(layout_, piece, slot.used)) continue;
            ivf::StorePiece(layout_, piece, slot.used, encoded, page(at));
            tail(at).head_page = head_number;
        }
        if (steps-- == 0) return false;
        std::uint8_t* prefix = page(head_page) + slot.at;
        if (slot.new_block) {
            ivf::InitBlock(kList, kGeneration, slot.ordinal, ivf::kNoPage, 0, prefix);
            if (tail(head_page).blocks++ == 0)
                tail(head_page).first_block = static_cast<std::uint16_t>(slot.at);
            tail(head_page).head_page = head_number;
        }
        if (here.factors_at != 0) {
            const std::size_t end =
                ivf::StorePiece(layout_, here, slot.used, encoded, page(head_page));
            CHECK(end >= here.codes_at && end <= here.end());
        }
        ivf::PublishSlot({0, 0, static_cast<std::uint16_t>(rows_.size())}, prefix);
        rows_.push_back(row);
        growth_ = head_page;
        return true;
    }

    std::size_t growth() const { return growth_; }

    // Every row, by the cursor alone: in the order in which they came, and nothing else.
    void CheckRows() {
        std::size_t row = 0;
        std::vector<std::uint64_t> head_words(ivf::kMaxHeadBytes / 8);
        auto* head = reinterpret_cast<std::uint8_t*>(head_words.data());
        std::vector<std::uint8_t> codes(layout_.code_bytes), code(layout_.scan_row_bytes);
        for (std::size_t p = 0; p < pages_.size(); p++)
            for (std::size_t i = 0; i < tail(p).blocks; i++) {
                const std::size_t at = ivf::HeadOffset(layout_, tail(p), i);
                CHECK(ivf::HeadCanBegin(at));
                std::memcpy(head, page(p) + at, ivf::kPrefixBytes);
                const std::size_t used = ivf::HeadAt(head)->used;
                CHECK(ivf::HeadIsSound(*ivf::HeadAt(head), kList, kGeneration));
                CHECK_EQ(ivf::HeadAt(head)->ordinal, row / 32);
                ivf::PieceCursor pieces = ivf::PiecesOf(layout_, at);
                for (std::size_t on = p;; on++) {
                    CHECK(on < pages_.size());
                    if (on == pages_.size()) return;
                    ivf::CopyPiece(layout_, pieces.Take(), page(on), head, codes.data());
                    if (pieces.Has(layout_.quantizer->CodeBytesFor(layout_.spec, used))) break;
                }
                const kernels::BlockFactors factors = ivf::FactorsOf(layout_, head);
                for (std::size_t slot = 0; slot < used; slot++, row++) {
                    CHECK(row < rows_.size());
                    if (row == rows_.size()) return;
                    layout_.quantizer->Gather(layout_.spec, codes, slot, code);
                    CHECK(code == rows_[row].code);
                    CHECK_EQ(ivf::PointersOf(head)[slot].offset, row);
                    CHECK_EQ(factors.add[slot], rows_[row].factors.add);
                    CHECK_EQ(factors.scale[slot], 7);
                    CHECK_EQ(factors.error[slot], 9);
                }
            }
        CHECK_EQ(row, rows_.size());
    }

    // The page after page `at`: pages have numbers in the order of the chain here.
    std::size_t Next(std::size_t at, std::uint32_t head_page) {
        if (at + 1 == pages_.size()) {
            tail(at).next = static_cast<std::uint32_t>(at + 1);
            AddPage(head_page);
        }
        return at + 1;
    }

  private:
    // What a page holds that nobody wrote is anything.
    void AddPage(std::uint32_t head_page) {
        pages_.emplace_back(8192 / 8);
        for (std::uint64_t& word : pages_.back()) word = random_.Next();
        ivf::PageTail fresh = {};
        fresh.generation = kGeneration;
        fresh.owner = kList;
        fresh.next = ivf::kNoPage;
        fresh.ordinal = static_cast<std::uint32_t>(pages_.size() - 1);
        fresh.kind = ivf::PageKind::kScan;
        fresh.head_page = head_page;
        tail(pages_.size() - 1) = fresh;
    }

    ivf::BlockLayout layout_;
    Random random_;
    std::vector<std::vector<std::uint64_t>> pages_;
    std::vector<Row> rows_;
    std::size_t growth_ = 0;  // the page with the last head
};

std::vector<Spec> SlotSpecs() {
    std::vector<Spec> specs;
    for (const std::uint32_t dim : {64, 128, 192, 448, 768, 1984, 2048, 2112}) {
        specs.push_back({Kind::kBq, 4, dim});
        specs.push_back({Kind::kSq8, 8, dim});
    }
    return specs;
}

}  // namespace

// Rows come by way of any page. Before each, others came and died after any number of their steps.
// The chain is as long in the end as one that was built.
TEST(SlotRowsAreWholeAfterCrashes) {
    for (const Spec& spec : SlotSpecs()) {
        Chain chain(spec, spec.padded_dim);
        Random random(3);
        bool behind = false;
        for (std::size_t rows = 1; rows <= 32 * 12 + 5; rows++) {
            Where("kind=%d dim=%u rows=%zu", static_cast<int>(spec.kind), spec.padded_dim, rows);
            for (std::size_t steps = random.Below(4); steps > 0; steps--)
                if (chain.Append(chain.NewRow(), random.Below(chain.pages()), steps - 1)) rows++;
            if (!chain.Append(chain.NewRow(), random.Below(chain.pages()), 1000)) return;
            behind |= chain.growth() + 1 < chain.pages();
            if (rows % 32 < 3) chain.CheckRows();
            CHECK(chain.pages() <= ivf::ScanPagesFor(chain.layout(), rows + 1));
            CHECK(chain.pages() >= ivf::ScanPagesFor(chain.layout(), rows));
        }
        chain.CheckRows();
        // The last page may be ahead of the last head.
        CHECK(behind || spec.padded_dim == 64);
    }
}

// Every page leads to the one next slot: those with codes only by way of their head.
TEST(SlotIsTheSameFromEveryPage) {
    for (const Spec& spec : SlotSpecs()) {
        Chain chain(spec, spec.padded_dim);
        for (std::size_t rows = 1; rows <= 32 * 12; rows++) {
            if (!chain.Append(chain.NewRow(), chain.growth(), 1000)) return;
            if (rows % 7 != 0 && rows % 32 > 1) continue;
            ivf::Slot expected;
            std::size_t expected_page;
            CHECK(chain.Find(0, expected, expected_page));
            CHECK_EQ(expected.ordinal, rows / 32);
            CHECK_EQ(expected.used, rows % 32);
            CHECK_EQ(expected.new_block, rows % 32 == 0);
            for (std::size_t from = 0; from < chain.pages(); from++) {
                Where("kind=%d dim=%u rows=%zu from=%zu", static_cast<int>(spec.kind),
                      spec.padded_dim, rows, from);
                ivf::Slot slot;
                std::size_t page;
                CHECK(chain.Find(from, slot, page));
                CHECK_EQ(page, expected_page);
                CHECK_EQ(slot.at, expected.at);
                CHECK_EQ(slot.ordinal, expected.ordinal);
                CHECK_EQ(slot.used, expected.used);
            }
        }
    }
}

// No page leads in a circle.
TEST(SlotFinderReportsDamage) {
    Chain chain({Kind::kSq8, 8, 2048}, 1);
    for (int i = 0; i < 110; i++) chain.Append(chain.NewRow(), chain.growth(), 1000);
    ivf::Slot slot;
    std::size_t page;
    const std::size_t last = chain.pages() - 1;
    CHECK(chain.tail(last).blocks == 0 && last > chain.growth() + 1);
    CHECK(chain.Find(last, slot, page));
    CHECK_EQ(page, chain.growth());
    const ivf::PageTail good = chain.tail(last);
    // To itself, and to a page that leads back.
    chain.tail(last).head_page = static_cast<std::uint32_t>(last);
    CHECK(!chain.Find(last, slot, page));
    chain.tail(last - 1).head_page = static_cast<std::uint32_t>(last);
    chain.tail(last).head_page = static_cast<std::uint32_t>(last - 1);
    CHECK(!chain.Find(last, slot, page));
    // To nowhere.
    chain.tail(last).head_page = ivf::kNoPage;
    CHECK(!chain.Find(last, slot, page));
    chain.tail(last) = good;
    // A head that is none.
    for (const std::uint16_t first : {0, 32, 96, 7936, 65535}) {
        const ivf::PageTail before = chain.tail(chain.growth());
        chain.tail(chain.growth()).first_block = first;
        CHECK(!chain.Find(chain.growth(), slot, page));
        chain.tail(chain.growth()) = before;
    }
    CHECK(chain.Find(chain.growth(), slot, page));
}
