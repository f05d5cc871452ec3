// The rule by which rows leave a scan, with its constants (leave.h).
#include "core/ivf/leave.h"

namespace quantvec::ivf {

namespace {

// The first rows are taken to miss this part of the number that the model expects. The model
// expects 1.5 to 4 times too much for few rows, and 1 to 2.5 times too much for many (missing.h).
constexpr double kTrust = 0.5;
// The least and the largest number of rows that may be missing for each row that left. The least:
// even where the model is sure, a scan that goes deep shall not open all lists for the last
// hundredth. The largest: even where the model is unsure, no more than each second row.
constexpr double kLeastPerRow = 0.02, kMostPerRow = 1;
// The largest key is computed anew when n has grown by a part: by 1 / kGrowth while the allowance
// grows with n, by 1 / kDeepGrowth where only the fit gets old.
constexpr std::uint64_t kGrowth = 16, kDeepGrowth = 3;

}  // namespace

void LeaveRule::Begin(std::uint64_t wanted, float least_key) {
    *this = {};
    wanted_ = wanted > 0 ? wanted : 1;
    least_ = least_key;
    largest_ = __builtin_inff();
    until_ = base();
}

void LeaveRule::BeginWithout() {
    *this = {};
    LetAllLeave();
}

void LeaveRule::Restart() {
    missing_ = {};
    if (wanted_ == 0) return;
    // All rows were allowed to leave, since no list was left to open. That is over.
    if (AllLeave() && !IsCalibrated()) per_row_ = kLeastPerRow;
    until_ = base();
    largest_ = IsCalibrated() ? -__builtin_inff() : __builtin_inff();
}

void LeaveRule::LetAllLeave() {
    largest_ = __builtin_inff();
    until_ = kForever;
}

double LeaveRule::Allowance(std::uint64_t n) const {
    return per_row_ * static_cast<double>(n < wanted_ ? n : wanted_) - static_cast<double>(late_);
}

void LeaveRule::Calibrate(float key, std::uint64_t depth) {
    per_row_ = key > least_ ? kTrust * missing_.Missing(key) / static_cast<double>(depth) : 0;
    if (!(per_row_ > kLeastPerRow)) per_row_ = kLeastPerRow;
    if (per_row_ > kMostPerRow) per_row_ = kMostPerRow;
}

bool LeaveRule::Ask(float key, std::uint64_t n) {
    if (key <= least_ || n <= base()) return true;
    until_ = n + n / (n < wanted_ ? kGrowth : kDeepGrowth);
    const double allowance = Allowance(until_);
    largest_ = allowance > 0 ? missing_.LargestKey(key, allowance) : -__builtin_inff();
    // Without room behind this key, each further row would ask.
    if (key < largest_) return true;
    excess_ = allowance > 0 ? missing_.Missing(key) / allowance : __builtin_inf();
    return false;
}

bool LeaveRule::IsLikely(float key, std::uint64_t n) {
    excess_ = key <= least_ ? 0 : missing_.Missing(key) / Allowance(n);
    return excess_ <= 1;
}

std::size_t LeaveRule::ListsToOpen(std::size_t left) const {
    const std::size_t open = missing_.opened();
    // Late rows are no longer avoided, or half of the rows were looked at already: then look at the
    // other half, too. A scan that is read to its end has then hardly a late row.
    if (!(excess_ < __builtin_inf()) || missing_.RowsLeft() <= missing_.RowsHeld()) return left;
    // Each eighth of the lists takes about a quarter off the missing rows.
    const std::size_t more = (excess_ > 4 ? open / 2 : excess_ > 2 ? open / 4 : open / 8) + 1;
    return more < left ? more : left;
}

}  // namespace quantvec::ivf
