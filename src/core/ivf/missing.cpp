// The fit of the curve that says how many rows are missing (missing.h).
#include "core/ivf/missing.h"

namespace quantvec::ivf {

namespace {

// The prior of the slope. Slopes of 10 to 45 were learned on the sets of missing.h. The prior
// weighs little as soon as hits are spread over a few lists.
constexpr double kPriorSlope = 18, kPriorSlopeError = 30;
// Steps of Newton's method, and how far one step may go.
constexpr int kSteps = 12;
constexpr double kMostLevelStep = 3, kMostSlopeStep = 6;
constexpr double kSmallStep = 1e-3;
constexpr double kLeastSlope = 0.1;
// Beyond kFar, a share is 0 or 1.
constexpr float kFar = 40;
// A mean that is nearer than that, in scales, says no more than one at that.
constexpr float kNearest = -4;
// LargestKey is content with a key at which this part of the allowance is missing.
constexpr double kNearAllowance = 0.9;
constexpr int kSearchSteps = 24;

constexpr std::size_t kLanes = 8;
// If there are more lists than that, only each stride-th is looked at, and its sum stands for all.
// With 65,536 lists, a tenth of which matters, that costs 3 % of precision.
constexpr std::size_t kMostLists = 8192;

std::size_t StrideOf(std::size_t lists) {
    return lists / kMostLists + 1;
}

// e^x for |x| <= kFar, with a relative error of 1e-4: 2^n times a polynomial. There is no branch,
// so that loops over lists become vector code.
float Exp(float x) {
    const float t = x * 1.44269504f;
    const float shifted = t + 12582912.0f;  // 1.5 * 2^23: rounds to the nearest integer
    const float f = t - (shifted - 12582912.0f);
    const float p = 1 + f * (0.69314718f + f * (0.24022651f + f * (0.05550411f + f * 0.00961813f)));
    const std::uint32_t n = __builtin_bit_cast(std::uint32_t, shifted) << 23;
    return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, p) + n);
}

// 1 / (1 + e^-x). NaN counts as large: it is better to expect too much of a list than too little.
float Share(float x) {
    x = x < kFar ? x : kFar;
    x = x > -kFar ? x : -kFar;
    return 1 / (1 + Exp(-x));
}

// Sum of value(i) over [begin, end), in lanes. With a stride above 1, the sum of each stride-th
// value; the caller lets it stand for all.
template <class Value>
double Sum(std::size_t begin, std::size_t end, std::size_t stride, Value value) {
    float lanes[kLanes] = {};
    double sum = 0;
    std::size_t i = begin;
    if (stride == 1)
        for (; i + kLanes <= end; i += kLanes)
            for (std::size_t lane = 0; lane < kLanes; lane++) lanes[lane] += value(i + lane);
    for (; i < end; i += stride) sum += static_cast<double>(value(i));
    for (const float lane : lanes) sum += static_cast<double>(lane);
    return sum;
}

double Clamp(double x, double most) {
    return x > most ? most : x < -most ? -most : x;
}

}  // namespace

std::size_t MissingRows::Bytes(std::size_t lists) {
    return lists * (5 * sizeof(float) + 2 * sizeof(std::uint32_t));
}

void MissingRows::Begin(std::size_t lists, ByteSpan memory) {
    *this = {};
    lists_ = lists;
    mean_ = reinterpret_cast<float*>(memory.data());
    per_scale_ = mean_ + lists;
    rows_ = per_scale_ + lists;
    hits_ = rows_ + lists;
    u_ = hits_ + lists;
    place_ = reinterpret_cast<std::uint32_t*>(u_ + lists);
    list_ = place_ + lists;
    for (std::size_t i = 0; i < lists; i++) {
        mean_[i] = per_scale_[i] = rows_[i] = hits_[i] = 0;
        place_[i] = list_[i] = static_cast<std::uint32_t>(i);
    }
}

void MissingRows::Set(std::size_t list, float mean, float scale, float rows) {
    const std::uint32_t at = place_[list];
    const float per_scale = 1 / scale;
    const bool known = __builtin_isfinite(mean) && __builtin_isfinite(scale);
    // Copies of one vector have no scale: all of them are nearer, or none is.
    constexpr float kMostPerScale = 1e30f;
    mean_[at] = known ? mean : -__builtin_inff();
    per_scale_[at] = known ? (per_scale < kMostPerScale ? per_scale : kMostPerScale) : 1;
    rows_left_ += static_cast<double>(rows) - static_cast<double>(rows_[at]);
    rows_[at] = rows;
}

void MissingRows::Opened(std::size_t list, float rows) {
    const std::size_t from = place_[list], to = opened_++;
    QV_ASSERT(from >= to);
    const auto swap = [&](auto* values) {
        const auto value = values[from];
        values[from] = values[to];
        values[to] = value;
    };
    swap(mean_);
    swap(per_scale_);
    swap(rows_);
    swap(list_);
    place_[list_[from]] = static_cast<std::uint32_t>(from);
    place_[list_[to]] = static_cast<std::uint32_t>(to);
    rows_left_ -= static_cast<double>(rows_[to]);
    rows_set_ += static_cast<double>(rows_[to]);
    rows_held_ += static_cast<double>(rows);
    rows_[to] = rows;
    hits_[to] = 0;
}

double MissingRows::Growth() const {
    return (rows_held_ + 1) / (rows_set_ + 1);
}

double MissingRows::RowsLeft() const {
    return rows_left_ > 0 ? rows_left_ * Growth() : 0;
}

void MissingRows::Fit(float key) {
    for (std::size_t i = 0; i < opened_; i++) {
        const float u = (mean_[i] - key) * per_scale_[i];
        u_[i] = u > kNearest ? (u < kFar ? u : kFar) : kNearest;
    }
    // Around the mean of the hits, level and slope hardly depend on each other.
    const std::size_t stride = StrideOf(opened_);
    const double hits = Sum(0, opened_, stride, [&](std::size_t i) { return hits_[i]; });
    const double moment = Sum(0, opened_, stride, [&](std::size_t i) { return hits_[i] * u_[i]; });
    const auto center = static_cast<float>(hits > 0 ? moment / hits : 0);
    for (std::size_t i = 0; i < opened_; i++) u_[i] -= center;
    const bool first = !(slope_ > 0);
    double slope = first ? kPriorSlope : static_cast<double>(slope_);
    double level = first ? 0 : static_cast<double>(level_ - slope_ * (center - center_));
    const auto x = [&](std::size_t i) {
        return static_cast<float>(level) - static_cast<float>(slope) * u_[i];
    };
    // The level alone: the expected number of hits becomes the real one.
    const auto find_level = [&] {
        for (int step = 0; step < kSteps; step++) {
            const double expected =
                Sum(0, opened_, stride, [&](std::size_t i) { return rows_[i] * Share(x(i)); });
            const double change =
                Clamp(__builtin_log((hits + 1e-6) / (expected + 1e-6)), kMostLevelStep);
            level += change;
            if (__builtin_fabs(change) < kSmallStep) break;
        }
    };
    if (first) find_level();
    // Level and slope: Newton's method on the log likelihood of the hits and the prior.
    for (int step = 0; step < kSteps; step++) {
        float gradient_level[kLanes] = {}, gradient_slope[kLanes] = {}, w0[kLanes] = {},
              w1[kLanes] = {}, w2[kLanes] = {};
        const auto add = [&](std::size_t i, std::size_t lane) {
            const float share = Share(x(i)), left = hits_[i] - rows_[i] * share;
            const float weight = rows_[i] * share * (1 - share);
            gradient_level[lane] += left;
            gradient_slope[lane] -= left * u_[i];
            w0[lane] += weight;
            w1[lane] -= weight * u_[i];
            w2[lane] += weight * u_[i] * u_[i];
        };
        std::size_t i = 0;
        if (stride == 1)
            for (; i + kLanes <= opened_; i += kLanes)
                for (std::size_t lane = 0; lane < kLanes; lane++) add(i + lane, lane);
        for (; i < opened_; i += stride) add(i, 0);
        const auto total = [](const float* lanes) {
            double sum = 0;
            for (std::size_t lane = 0; lane < kLanes; lane++)
                sum += static_cast<double>(lanes[lane]);
            return sum;
        };
        constexpr double kPrecision = 1 / (kPriorSlopeError * kPriorSlopeError);
        const double g0 = total(gradient_level);
        const double g1 = total(gradient_slope) - (slope - kPriorSlope) * kPrecision;
        const double a = total(w0) + 1e-9, b = total(w1), c = total(w2) + kPrecision;
        const double determinant = a * c - b * b;
        if (!(determinant > 0)) break;
        const double change_level = Clamp((g0 * c - g1 * b) / determinant, kMostLevelStep);
        const double change_slope = Clamp((g1 * a - g0 * b) / determinant, kMostSlopeStep);
        level += change_level;
        slope += change_slope;
        if (!(slope > kLeastSlope)) slope = kLeastSlope;
        if (__builtin_fabs(change_level) < kSmallStep && __builtin_fabs(change_slope) < kSmallStep)
            break;
    }
    // Newton's method may stop halfway; the level then still fits the hits.
    find_level();
    level_ = static_cast<float>(level);
    slope_ = static_cast<float>(slope);
    center_ = center;
}

double MissingRows::Missing(float key) const {
    const std::size_t stride = StrideOf(lists_ - opened_);
    return Growth() * static_cast<double>(stride) *
           Sum(opened_, lists_, stride, [&](std::size_t i) {
               const float u = (mean_[i] - key) * per_scale_[i];
               return rows_[i] * Share(level_ - slope_ * (u - center_));
           });
}

float MissingRows::LargestKey(float from, double allowance) const {
    const float infinity = __builtin_inff();
    if (RowsLeft() <= allowance) return infinity;
    double at_from = Missing(from);
    if (!(at_from <= allowance)) return -infinity;
    if (!__builtin_isfinite(from)) return from;
    // The first step makes the missing rows of the nearest list e times as many. Each further step
    // is twice as long.
    float scale = 0;
    for (std::size_t i = opened_; i < lists_ && !(scale > 0); i++) scale = 1 / per_scale_[i];
    float step = scale / slope_, low = from, high = infinity;
    for (int i = 0; i < kSearchSteps && at_from < kNearAllowance * allowance; i++) {
        const float at = high < infinity ? low + (high - low) / 2 : low + step;
        if (!(at > low) || !(at < infinity)) break;
        const double missing = Missing(at);
        if (missing <= allowance) {
            low = at;
            at_from = missing;
            step *= 2;
        } else {
            high = at;
        }
    }
    return low;
}

}  // namespace quantvec::ivf
