// This file owns the rule that decides: may the next row leave, or is another list opened first?
// The rule is the same for every LIMIT, filter, cursor and join:
//
//   missing(d) + late  <=  (1 - t) / t * min(n, w)
//
//   d         key of the next row
//   missing   rows nearer than d that are expected in unopened lists
//   n         rows that left, it counted
//   late      rows that came too late for the order and are kept back
//   w         rows that are wanted
//   t         recall: of n rows and what they miss, the part that is there
//
// A filter above the scan throws rows away, and the scan cannot see which. But no filter can lose
// more rows than are missing in all, so the bound holds for each of them. Hence n counts for w rows
// at most: what a filter throws away earns no right to miss more.
//
// Nobody has to set t: the lists that a scan probes at first decide it. kBase rows (or w, if w is
// less) leave without a question. The rows expected to be missing then, divided by the rows that
// left, are (1 - t) / t for the rest of the scan. So figures of the model (missing.h) are compared
// with each other, at different depths of one query, and the model's common error cancels.
//
// A row costs two comparisons: with the largest key that the allowance admits, and with the n for
// which that key was computed. Both are computed anew when a list was opened, and when n has grown
// by a part.
#pragma once

#include "core/ivf/missing.h"

namespace quantvec::ivf {

class LeaveRule {
  public:
    static constexpr std::uint64_t kBase = 10;

    // The number of rows wanted, and the least key that exists: no row is nearer than rows at it.
    void Begin(std::uint64_t wanted, float least_key);
    // Every row leaves: there is no order to keep.
    void BeginWithout();
    // The lists are going to be opened anew, a few of them at first, and rows ask again. t stays
    // known, and late rows stay late.
    void Restart();

    MissingRows& missing() { return missing_; }
    // Is t known?
    bool IsCalibrated() const { return per_row_ >= 0; }
    // Computes t from the rows missing at the key of row number `depth`.
    // REQUIRES: missing().Fit(key).
    void Calibrate(float key, std::uint64_t depth);
    std::uint64_t base() const { return wanted_ < kBase ? wanted_ : kBase; }

    // Row number n in order, from 1, may leave as far as is known without a look at the lists.
    bool Leaves(float key, std::uint64_t n) const { return key <= largest_ && n <= until_; }
    // The same with a look at the lists. REQUIRES: missing().Fit(key of the row before), unless
    // n = 1; t is known.
    bool Ask(float key, std::uint64_t n);
    // Nothing is left to be opened, or no more may be.
    void LetAllLeave();
    bool AllLeave() const { return until_ == kForever; }

    // A list was opened.
    void NoteOpened() {
        if (!AllLeave()) largest_ = -__builtin_inff();
    }
    // A row is kept back.
    void NoteLate() {
        late_++;
        NoteOpened();
    }
    // Before the first row: is it likely that row number n, at that key, will be allowed to leave?
    // REQUIRES: as for Ask.
    bool IsLikely(float key, std::uint64_t n);
    // The number of lists to open next, of the `left` ones, once Ask or IsLikely said no.
    std::size_t ListsToOpen(std::size_t left) const;

  private:
    static constexpr std::uint64_t kForever = ~std::uint64_t{0};
    double Allowance(std::uint64_t n) const;

    MissingRows missing_;
    std::uint64_t wanted_ = 0;
    std::uint64_t late_ = 0;
    std::uint64_t until_ = 0;
    float largest_ = 0;
    float least_ = 0;
    double per_row_ = -1;  // (1 - t) / t
    double excess_ = 0;    // rows missing when Ask said no, in allowances
};

}  // namespace quantvec::ivf
