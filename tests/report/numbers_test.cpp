#include "report/numbers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace evenrow::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Number, HasTheSignificantDigitsAskedFor) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(-0.0), "0");
  EXPECT_EQ(number(0.33124), "0.3312");
  EXPECT_EQ(number(-0.5), "-0.5000");
  EXPECT_EQ(number(12.345), "12.35");
  EXPECT_EQ(number(12.345, 2), "12");
  EXPECT_EQ(number(123456.7), "123457");
  EXPECT_EQ(number(7), "7");
  EXPECT_EQ(number(784000), "784000");
}

TEST(Number, UsesAnExponentWhereDigitsWouldBeLost) {
  EXPECT_EQ(number(0.001), "0.001000");
  EXPECT_EQ(number(0.00012345), "0.0001234");
  EXPECT_EQ(number(1.23e-7), "1.230e-07");
  EXPECT_EQ(number(-1.5e12), "-1.500e+12");
  EXPECT_EQ(number(std::numeric_limits<double>::max()), "1.798e+308");
  EXPECT_EQ(number(std::numeric_limits<double>::denorm_min()), "4.941e-324");
}

TEST(Number, SaysWhatIsNoNumber) {
  EXPECT_EQ(number(kNaN), "-");
  EXPECT_EQ(number(kInfinity), "inf");
  EXPECT_EQ(number(-kInfinity), "-inf");
  EXPECT_EQ(range(kNaN, 1), "-");
}

TEST(Percent, RoundsToTheDecimalsAskedFor) {
  EXPECT_EQ(percent(0.89424), "89.42 %");
  EXPECT_EQ(percent(1), "100.00 %");
  EXPECT_EQ(percent(0.5, 0), "50 %");
  EXPECT_EQ(percent(kNaN), "-");
}

TEST(Count, GroupsDigits) {
  EXPECT_EQ(count(0), "0");
  EXPECT_EQ(count(999), "999");
  EXPECT_EQ(count(1000), "1,000");
  EXPECT_EQ(count(-235146), "-235,146");
  EXPECT_EQ(count(-100), "-100");
  EXPECT_EQ(count(std::numeric_limits<std::int64_t>::max()), "9,223,372,036,854,775,807");
}

TEST(Duration, NeverHasMoreThanTwoUnits) {
  EXPECT_EQ(duration(0), "0.0 s");
  EXPECT_EQ(duration(0.84), "0.8 s");
  EXPECT_EQ(duration(9.96), "10 s");
  EXPECT_EQ(duration(59.6), "1 min 00 s");
  EXPECT_EQ(duration(200), "3 min 20 s");
  EXPECT_EQ(duration(3900), "1 h 05 min");
  EXPECT_EQ(duration(-1), "-");
  EXPECT_EQ(duration(kNaN), "-");
  EXPECT_EQ(duration(kInfinity), "-");
}

TEST(Range, ShowsBothEnds) {
  EXPECT_EQ(range(-1.25, 4), "-1.25 .. 4");
}

}  // namespace
}  // namespace evenrow::report
