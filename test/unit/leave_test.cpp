// The rule by which rows leave a scan, on lists whose keys are known: logistic around the means of
// the lists.
#include "unit.h"

#include "core/ivf/leave.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace quantvec;
using unit::Random;
using unit::Where;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Lists in the order in which they are opened, and a share of rows nearer than a key that is known.
struct Lists {
    std::vector<float> mean, scale, rows;
    double level, slope;
    std::vector<std::uint8_t> memory;

    explicit Lists(std::size_t n, double wanted_slope = 20, double wanted_level = 0)
        : level(wanted_level), slope(wanted_slope) {
        Random random(3);
        for (std::size_t i = 0; i < n; ++i) {
            mean.push_back(1 + 0.5f * static_cast<float>(i) / static_cast<float>(n));
            scale.push_back(1 + 0.1f * random.Gaussian());
            rows.push_back(static_cast<float>(100 + random.Below(100)));
        }
        memory.resize(ivf::MissingRows::Bytes(n));
    }
    double Nearer(std::size_t i, double key) const {
        const double u = (static_cast<double>(mean[i]) - key) / static_cast<double>(scale[i]);
        return static_cast<double>(rows[i]) / (1 + std::exp(slope * u - level));
    }
    double Nearer(std::size_t from, std::size_t to, double key, std::size_t stride = 1) const {
        double sum = 0;
        for (std::size_t i = from; i < to; i += stride) sum += Nearer(i, key);
        return sum * static_cast<double>(stride);
    }
    // The key that so many rows of the lists [0, to) are nearer than; of very many lists, about.
    float KeyOf(std::size_t to, double n) const {
        const std::size_t stride = to / 4096 + 1;
        double low = -10, high = 10;
        for (int i = 0; i < 40; ++i)
            (Nearer(0, to, (low + high) / 2, stride) < n ? low : high) = (low + high) / 2;
        return static_cast<float>(low);
    }
    void Begin(ivf::MissingRows& missing) {
        missing.Begin(mean.size(), memory);
        for (std::size_t i = 0; i < mean.size(); ++i) missing.Set(i, mean[i], scale[i], rows[i]);
    }
    void Open(ivf::MissingRows& missing, std::size_t n) const {
        while (missing.opened() < n) missing.Opened(missing.opened(), rows[missing.opened()]);
    }
    void Fit(ivf::MissingRows& missing, float key) const {
        for (std::size_t i = 0; i < missing.opened(); ++i)
            missing.SetHits(i, static_cast<float>(Nearer(i, static_cast<double>(key))));
        missing.Fit(key);
    }
    // Sixty lists are open, and ten rows have left: t is known. The key of the tenth.
    float LetTenLeave(ivf::LeaveRule& rule, std::uint64_t wanted) {
        rule.Begin(wanted, 0);
        Begin(rule.missing());
        Open(rule.missing(), 60);
        const float key = KeyOf(60, 10);
        Fit(rule.missing(), key);
        rule.Calibrate(key, 10);
        return key;
    }
};

}  // namespace

TEST(MissingRowsAreLearnedFromTheOpenedLists) {
    for (double slope : {3.0, 9.0, 20.0, 40.0}) {
        for (double level : {-1.0, 0.0}) {
            Lists lists(300, slope, level);
            ivf::MissingRows missing;
            lists.Begin(missing);
            lists.Open(missing, 60);
            for (double n : {10.0, 100.0, 1000.0}) {
                const float key = lists.KeyOf(60, n);
                lists.Fit(missing, key);
                const double right = lists.Nearer(60, 300, static_cast<double>(key));
                Where("slope %g level %g n %g: %g, right %g", slope, level, n, missing.Missing(key),
                      right);
                // The prior pulls where hits are few: at ten, a slope of 40 to 36.
                const double most = n > 10 ? 1.15 : 1.6;
                CHECK(missing.Missing(key) > right / most && missing.Missing(key) < right * most);
            }
        }
    }
}

TEST(MissingRowsFollowTheGrowthOfTheOpenedLists) {
    Lists lists(100);
    ivf::MissingRows missing;
    lists.Begin(missing);
    const double all = missing.RowsLeft();
    double left = all;
    for (std::size_t i = 0; i < 50; ++i) {
        missing.Opened(i, 3 * lists.rows[i]);
        left -= static_cast<double>(lists.rows[i]);
    }
    CHECK_NEAR(missing.RowsLeft(), 3 * left, 0.01 * left);
    CHECK_NEAR(missing.RowsHeld(), 3 * (all - left), 0.01 * all);
}

TEST(LargestKeyUsesTheAllowance) {
    Lists lists(300);
    ivf::MissingRows missing;
    lists.Begin(missing);
    lists.Open(missing, 60);
    const float key = lists.KeyOf(60, 20);
    lists.Fit(missing, key);
    const double now = missing.Missing(key);
    for (double factor : {1.0, 1.5, 10.0, 1000.0}) {
        const float largest = missing.LargestKey(key, now * factor);
        Where("factor %g", factor);
        CHECK(largest >= key);
        CHECK(missing.Missing(largest) <= now * factor);
        CHECK(missing.Missing(largest) >= 0.89 * now * factor);
    }
    CHECK_EQ(missing.LargestKey(key, now * 0.99), -kInfinity);
    CHECK_EQ(missing.LargestKey(key, missing.RowsLeft()), kInfinity);
    lists.Open(missing, 300);
    CHECK_EQ(missing.LargestKey(key, 0), kInfinity);
}

TEST(ListsOfUnknownFiguresAreExpectedToBeMissing) {
    for (float bad : {kNan, kInfinity, -kInfinity}) {
        Lists lists(40);
        lists.mean[30] = bad;
        ivf::MissingRows missing;
        lists.Begin(missing);
        lists.Open(missing, 10);
        const float key = lists.KeyOf(10, 10);
        lists.Fit(missing, key);
        CHECK(missing.Missing(key) >= static_cast<double>(lists.rows[30]));
        // Every row of every list is nearer than an infinite key, or one that is not a number.
        CHECK_NEAR(missing.Missing(kInfinity), missing.RowsLeft(), 1);
        CHECK_NEAR(missing.Missing(kNan), missing.RowsLeft(), 1);
    }
    // An opened one does no harm to what is learned of the others.
    Lists lists(40);
    lists.mean[5] = kNan;
    ivf::MissingRows missing;
    lists.Begin(missing);
    lists.Open(missing, 20);
    for (std::size_t i = 0; i < 20; ++i) missing.SetHits(i, i == 5 ? 0 : 1);
    missing.Fit(1);
    CHECK(std::isfinite(missing.Missing(1)));
}

TEST(CopiesHaveNoScale) {
    Lists lists(20);
    lists.scale[15] = 0;
    ivf::MissingRows missing;
    lists.Begin(missing);
    lists.Open(missing, 10);
    const float before = std::nextafter(lists.mean[15], 0.0f), at = lists.mean[15] * 1.0001f;
    for (std::size_t i = 0; i < 10; ++i) missing.SetHits(i, lists.rows[i] / 2);
    missing.Fit(before);
    const double without = missing.Missing(before);
    CHECK_NEAR(missing.Missing(at) - without, static_cast<double>(lists.rows[15]), 2);
}

TEST(TheFirstRowsLeaveUnasked) {
    for (std::uint64_t wanted : {std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{1000}}) {
        ivf::LeaveRule rule;
        rule.Begin(wanted, 0);
        const std::uint64_t base = std::min(wanted, ivf::LeaveRule::kBase);
        CHECK_EQ(rule.base(), base);
        CHECK(rule.Leaves(kInfinity, base));
        CHECK(!rule.Leaves(1, base + 1));
    }
}

TEST(RowsLeaveWithinTheAllowance) {
    Lists lists(300);
    for (std::uint64_t wanted : {std::uint64_t{10}, std::uint64_t{100}}) {
        ivf::LeaveRule rule;
        const float first = lists.LetTenLeave(rule, wanted);
        const double per_row = rule.missing().Missing(first) / 10;
        std::uint64_t n = 11;
        for (; n < 1000; ++n) {
            const float key = lists.KeyOf(60, static_cast<double>(n));
            if (rule.Leaves(key, n)) continue;
            lists.Fit(rule.missing(), key);
            if (!rule.Ask(key, n)) break;
            Where("row %d, wanted %d", static_cast<int>(n), static_cast<int>(wanted));
            CHECK(rule.missing().Missing(key) <=
                  1.1 * per_row * static_cast<double>(std::min(n, wanted)));
        }
        // What is expected to be missing grows faster than n does: at some row lists have to be
        // opened.
        CHECK(n > 10 && n < 1000);
        CHECK(rule.ListsToOpen(240) >= 60 / 8);
        CHECK(rule.ListsToOpen(240) < 240);
        lists.Open(rule.missing(), 120);
        rule.NoteOpened();
        const float key = lists.KeyOf(120, static_cast<double>(n));
        CHECK(!rule.Leaves(key, n));
        lists.Fit(rule.missing(), key);
        CHECK(rule.Ask(key, n));
    }
}

TEST(LateRowsUseUpTheAllowance) {
    Lists lists(300);
    ivf::LeaveRule rule;
    const float key = lists.LetTenLeave(rule, 10);
    const auto allowed = static_cast<std::size_t>(rule.missing().Missing(key)) + 1;
    for (std::size_t i = 0; i < allowed; ++i) rule.NoteLate();
    CHECK(!rule.Ask(key * 1.001f, 11));
    // There is nothing to be saved any more: all others are opened.
    CHECK_EQ(rule.ListsToOpen(240), 240u);
    lists.Open(rule.missing(), 300);
    rule.LetAllLeave();
    CHECK(rule.Leaves(kInfinity, 1000000));
    rule.NoteOpened();
    CHECK(rule.Leaves(kInfinity, 1000000));
}

TEST(TheOtherHalfIsOpenedAtOnce) {
    Lists lists(100);
    ivf::LeaveRule rule;
    lists.LetTenLeave(rule, 10);
    CHECK(!rule.Ask(lists.KeyOf(60, 2000), 2000));
    CHECK_EQ(rule.ListsToOpen(40), 40u);
}

TEST(NothingIsNearerThanTheLeastKey) {
    Lists lists(100, 3);
    ivf::LeaveRule rule;
    rule.Begin(10, 0);
    lists.Begin(rule.missing());
    lists.Open(rule.missing(), 10);
    for (std::size_t i = 0; i < 10; ++i) rule.missing().SetHits(i, 2);
    rule.missing().Fit(0);
    rule.Calibrate(0, 10);
    CHECK(rule.missing().Missing(0) > 5);
    CHECK(rule.Ask(0, 11));
    CHECK(!rule.Ask(0.5f, 11));
    // Inner products have no least key.
    rule.Begin(10, -kInfinity);
    lists.Begin(rule.missing());
    lists.Open(rule.missing(), 10);
    for (std::size_t i = 0; i < 10; ++i) rule.missing().SetHits(i, 2);
    rule.missing().Fit(0);
    rule.Calibrate(-1, 10);
    CHECK(!rule.Ask(0, 11));
}

// A scan that starts over has few lists open again, whatever it had before.
TEST(RowsAreAskedForAgainAfterARestart) {
    for (bool calibrated : {false, true}) {
        Lists lists(300);
        ivf::LeaveRule rule;
        rule.Begin(10, 0);
        lists.Begin(rule.missing());
        lists.Open(rule.missing(), 60);
        const float key = lists.KeyOf(60, 10), far = lists.KeyOf(60, 1000);
        lists.Fit(rule.missing(), key);
        if (calibrated) rule.Calibrate(key, 10);
        lists.Open(rule.missing(), 300);
        rule.LetAllLeave();
        CHECK(rule.Leaves(far, 1000));
        rule.Restart();
        CHECK(!rule.AllLeave());
        CHECK(!rule.Leaves(far, 1000));
        CHECK(rule.IsCalibrated());
        lists.Begin(rule.missing());
        lists.Open(rule.missing(), 60);
        lists.Fit(rule.missing(), far);
        CHECK(!rule.Ask(far, 1000));
    }
    // Without an order there is nothing to ask for.
    ivf::LeaveRule rule;
    rule.BeginWithout();
    rule.Restart();
    CHECK(rule.Leaves(kInfinity, 1000));
}

TEST(AScanOfManyListsAsksSeldom) {
    constexpr std::size_t kLists = 65536;
    constexpr std::uint64_t kRows = 1000000;
    Lists lists(kLists);
    ivf::LeaveRule rule;
    rule.Begin(10, 0);
    lists.Begin(rule.missing());
    std::size_t open = 768, asked = 0, rounds = 0;
    lists.Open(rule.missing(), open);
    // Keys that rise as those of the opened lists do, found anew at each step of a twentieth.
    std::uint64_t n = 11;
    while (n <= kRows) {
        const float key = lists.KeyOf(open, static_cast<double>(n));
        if (!rule.Leaves(key, n)) {
            lists.Fit(rule.missing(), key);
            asked++;
            if (!rule.IsCalibrated()) rule.Calibrate(key, 10);
            if (!rule.Ask(key, n)) {
                open += rule.ListsToOpen(kLists - open);
                lists.Open(rule.missing(), open);
                rule.NoteOpened();
                rounds++;
                if (open == kLists) break;
                continue;
            }
        }
        n += 1 + n / 20;
    }
    CHECK_EQ(open, kLists);
    Where("asked %d times, opened %d times", static_cast<int>(asked), static_cast<int>(rounds));
    CHECK(asked < 60);
    CHECK(rounds < 50);
}
