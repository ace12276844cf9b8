#include "evenrow/input_normalization.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::uint32_t> all_rows(const Dataset& data) {
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(data.rows));
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

template <class T>
Dataset numbers(std::int64_t columns, std::vector<T> values) {
  Dataset data{.source = "test", .rows = static_cast<std::int64_t>(values.size()) / columns};
  for (std::int64_t c = 0; c < columns; ++c) {
    data.columns.push_back({.name = std::string(1, static_cast<char>('a' + c))});
  }
  data.values = std::move(values);
  return data;
}

InputNormalization fit(const Dataset& data) {
  return InputNormalization::fit(data, all_rows(data));
}
std::vector<float> apply(const InputNormalization& inputs, const Dataset& data) {
  return inputs.apply(data, all_rows(data));
}

/// Standard normal numbers, `columns` a row, column c at offset + c and times scale.
template <class T>
Dataset normals(std::int64_t rows, std::int64_t columns, double offset, double scale) {
  const core::RandomStream stream(3, core::Purpose::test, 0);
  std::vector<T> values(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto column = static_cast<double>(static_cast<std::int64_t>(i) % columns);
    values[i] = static_cast<T>(offset + column + scale * stream.normal(i));
  }
  return numbers(columns, std::move(values));
}

// What double arithmetic may cost over n rows whose normalized values reach `largest`: every sum
// has n terms, each rounded once and each of size `largest` at most, and fewer than eight such sums
// and products make a result.
double double_bound(double n, double largest) {
  return 8 * n * 0x1p-53 * largest;
}

template <class T>
void expect_mean_zero_variance_one(const Dataset& data) {
  const std::vector<float> out = apply(fit(data), data);
  const auto columns = data.columns.size();
  const auto n = static_cast<double>(data.rows);
  for (std::size_t c = 0; c < columns; ++c) {
    long double sum = 0, squares = 0;
    double largest = 1;
    for (std::size_t i = c; i < out.size(); i += columns) {
      sum += out[i];
      squares += static_cast<long double>(out[i]) * out[i];
      largest = std::max(largest, static_cast<double>(std::abs(out[i])));
    }
    // Each output is rounded to float, by 2^-24 of its size; the sizes are 1 in the mean at most.
    const double mean = static_cast<double>(sum) / n;
    EXPECT_LE(std::abs(mean), 0x1p-24 + double_bound(n, largest));
    // (1 + 2^-24)^2 - 1 < 2^-23 + 2^-47 for the squares.
    const double variance = static_cast<double>(squares) / n - mean * mean;
    EXPECT_LE(std::abs(variance - 1), 0x1p-23 + 0x1p-47 + double_bound(n, largest * largest));
  }
}

TEST(InputNormalization, InputsHaveMeanZeroAndVarianceOne) {
  expect_mean_zero_variance_one<double>(normals<double>(5000, 3, 0, 1));
  expect_mean_zero_variance_one<float>(normals<float>(777, 5, -20, 0.01));
  expect_mean_zero_variance_one<std::uint8_t>(normals<std::uint8_t>(3000, 7, 100, 20));
}

// Sums of bytes are exact: the mean is rounded twice, the variance four times, and what is
// subtracted last is at most half.
TEST(InputNormalization, OfBytesIsExactButForTheLastSteps) {
  using Real = long double;
  constexpr Real kUnit = std::numeric_limits<double>::epsilon() / 2;
  Dataset data = normals<std::uint8_t>(70'001, 4, 100, 20);
  auto& values = std::get<std::vector<std::uint8_t>>(data.values);
  for (std::size_t row = 0; row < 70'001; ++row) {
    values[row * 4 + 1] = 255;                                       // constant
    values[row * 4 + 2] = static_cast<std::uint8_t>(row % 2 * 255);  // as far apart as can be
    values[row * 4 + 3] = static_cast<std::uint8_t>(row == 70'000 ? 1 : 0);  // one of all
  }
  std::vector<std::uint32_t> rows = all_rows(data);
  std::swap(rows.front(), rows.back());  // in any order
  const InputNormalization inputs = InputNormalization::fit(data, rows, 3);
  for (std::size_t c = 0; c < 4; ++c) {
    std::int64_t sum = 0, squares = 0;
    for (std::size_t row = 0; row < 70'001; ++row) {
      const std::int64_t value = values[row * 4 + c];
      sum += value;
      squares += value * value;
    }
    const Real n = 70'001, mean = static_cast<Real>(sum) / n;
    const Real variance = static_cast<Real>(70'001 * squares - sum * sum) / (n * n);
    EXPECT_LE(std::abs(inputs.mean()[c] - mean), 2.01L * kUnit * mean) << c;
    EXPECT_LE(std::abs(inputs.variance()[c] - variance), 4.01L * kUnit * variance) << c;
  }
  EXPECT_EQ(inputs.mean()[1], 255.0);
  EXPECT_EQ(inputs.variance()[1], 0.0);
}

// The pivot takes the offset away before anything is squared: the statistics of seconds since 1970
// are those of the same seconds from 0.
TEST(InputNormalization, AnOffsetCostsNoPrecision) {
  for (const double offset : {0.0, 1.6e9, 1.6e12, -4e15}) {
    const std::int64_t n = 100'000;
    std::vector<double> seconds(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      seconds[i] = offset + static_cast<double>(i * 7919 % seconds.size());  // each once
    }
    const Dataset data = numbers(1, seconds);
    const InputNormalization inputs = fit(data);
    // 0 .. n-1: mean (n-1)/2, variance (n^2-1)/12. Means are rounded at the offset's size.
    const auto count = static_cast<double>(n);
    EXPECT_NEAR(inputs.mean()[0], offset + (count - 1) / 2,
                std::abs(offset) * 0x1p-53 + count * double_bound(count, 1));
    const double variance = (count * count - 1) / 12;
    EXPECT_NEAR(inputs.variance()[0] / variance, 1, double_bound(count, 1));
    // x - mean is exact to half a unit in the last place of the mean, and so are the outputs.
    const double unit = std::abs(offset) * 0x1p-52 / std::sqrt(variance);
    const std::vector<float> out = apply(inputs, data);
    for (std::size_t i = 0; i < seconds.size(); i += 997) {
      const double exact = (seconds[i] - offset - (count - 1) / 2) / std::sqrt(variance);
      EXPECT_NEAR(out[i], exact, unit + 2 * 0x1p-24);  // |exact| < 2
    }
  }
}

TEST(InputNormalization, ConstantColumnsBecomeZero) {
  for (const double constant : {0.0, 0.1, -1e300, 1e-310, 123456789.123}) {
    const Dataset data = numbers(1, std::vector<double>(1000, constant));
    const InputNormalization inputs = fit(data);
    EXPECT_EQ(inputs.mean()[0], constant);
    EXPECT_EQ(inputs.variance()[0], 0);
    EXPECT_THAT(apply(inputs, data), Each(0.0f));
    EXPECT_THAT(apply(inputs, numbers<double>(1, {7, kNaN})), Each(0.0f));
  }
}

TEST(InputNormalization, MissingValuesAreLeftOutAndBecomeTheMean) {
  const Dataset data = numbers<double>(2, {1, kNaN, kNaN, kNaN, 3, kNaN});
  const InputNormalization inputs = fit(data);
  EXPECT_THAT(inputs.mean(), ElementsAre(2, 0));
  EXPECT_THAT(inputs.variance(), ElementsAre(1, 0));
  EXPECT_THAT(apply(inputs, data), ElementsAre(-1, 0, 0, 0, 1, 0));
}

TEST(InputNormalization, IsFittedOnTheGivenRowsOnly) {
  const Dataset data = numbers<float>(1, {1, 1000, 3, -500});
  const std::vector<std::uint32_t> rows{2, 0};
  const InputNormalization inputs = InputNormalization::fit(data, rows);
  EXPECT_EQ(inputs.mean()[0], 2);
  EXPECT_EQ(inputs.variance()[0], 1);
  EXPECT_THAT(inputs.apply(data, rows), ElementsAre(1, -1));
  const std::vector<std::uint32_t> twice{1, 1, 3};
  EXPECT_THAT(inputs.apply(data, twice), ElementsAre(998, 998, -502));
}

Dataset colors(std::vector<std::string> categories, std::vector<double> codes) {
  Dataset data{.source = "test", .rows = static_cast<std::int64_t>(codes.size())};
  data.columns = {
      {.name = "color", .kind = ColumnKind::categorical, .categories = std::move(categories)}};
  data.values = std::move(codes);
  return data;
}

TEST(InputNormalization, CategoriesAreOneHotWithAnUnknownBucket) {
  const InputNormalization inputs = fit(colors({"red", "blue"}, {0, 1, 1, kNaN}));
  EXPECT_EQ(inputs.inputs(), 3);
  EXPECT_THAT(inputs.mean(), ElementsAre(0.25, 0.5, 0.25));
  EXPECT_THAT(inputs.variance(), ElementsAre(0.1875, 0.25, 0.1875));
  const auto off = static_cast<float>(-0.25 / std::sqrt(0.1875));
  const auto on = static_cast<float>(0.75 / std::sqrt(0.1875));
  // Other spellings, in another order: blue, green (unknown), missing, red.
  EXPECT_THAT(apply(inputs, colors({"blue", "green", "red"}, {0, 1, kNaN, 2})),
              ElementsAre(off, 1, off, off, -1, on, off, -1, on, on, -1, off));
}

TEST(InputNormalization, WithoutMissingValuesTheUnknownBucketIsConstant) {
  const InputNormalization inputs = fit(colors({"red", "blue"}, {0, 1}));
  EXPECT_THAT(apply(inputs, colors({"green"}, {0})), ElementsAre(-1, -1, 0));
}

TEST(InputNormalization, ACategoryThatNoTrainingRowHasIsUnknown) {
  const Dataset data = colors({"red", "blue", "green"}, {0, 1, 2, 0});
  const std::vector<std::uint32_t> rows{0, 2};
  const InputNormalization inputs = InputNormalization::fit(data, rows);
  EXPECT_THAT(inputs.columns()[0].categories, ElementsAre("red", "green"));
  EXPECT_THAT(apply(inputs, data), ElementsAre(1, -1, 0, -1, -1, 0, -1, 1, 0, 1, -1, 0));
}

TEST(InputNormalization, ColumnsAreMatchedByNameOrByPositionWhenThereAreNoNames) {
  const InputNormalization inputs =
      InputNormalization::from_parts({{.name = "a"}, {.name = "b"}}, {1, 2}, {1, 4});
  Dataset data = numbers<double>(3, {6, 0, 5});
  data.columns[0].name = "b";
  data.columns[1].name = "id";
  data.columns[2].name = "a";
  EXPECT_THAT(apply(inputs, data), ElementsAre(4, 2));
  data.columns[2].name = "d";
  EXPECT_THAT(error_of([&] { apply(inputs, data); }).what(),
              HasSubstr("test: column 'a' is missing: expected the 2 columns"));

  const InputNormalization unnamed =
      InputNormalization::from_parts({{.name = "c1"}, {.name = "c3"}}, {1, 2}, {1, 4});
  Dataset two = numbers<double>(2, {5, 6});
  two.columns[0].name = "c1";
  two.columns[1].name = "c2";
  EXPECT_THAT(apply(unnamed, two), ElementsAre(4, 2));
  two.columns.push_back({.name = "c3"});
  two.values = std::vector<double>{5, 6, 7};
  EXPECT_THAT(error_of([&] { apply(unnamed, two); }).what(),
              HasSubstr("test: expected the 2 columns that the inputs were normalized with, found "
                        "3"));
}

TEST(InputNormalization, AColumnOfAnotherKindIsAnError) {
  const InputNormalization inputs = fit(colors({"red"}, {0}));
  Dataset data = numbers<double>(1, {1});
  data.columns[0].name = "color";
  EXPECT_THAT(error_of([&] { apply(inputs, data); }).what(),
              HasSubstr("test: column 'color': expected categories, found numbers"));
}

TEST(InputNormalization, InfiniteValuesAreErrorsThatNameRowAndColumn) {
  const Dataset data = numbers<double>(2, {1, 2, 3, kInfinity, 5, 6});
  const Error fitted = error_of([&] { fit(data); });
  EXPECT_EQ(fitted.kind(), ErrorKind::data);
  EXPECT_THAT(fitted.what(), HasSubstr("test: column 'b', row 2 (counting from 1): the value is "
                                       "infinite"));
  const InputNormalization inputs = fit(numbers<double>(2, {1, 2, 3, 4}));
  EXPECT_THAT(error_of([&] { apply(inputs, data); }).what(), HasSubstr("column 'b', row 2"));
  const InputNormalization constant = fit(numbers<double>(2, {1, 2}));
  EXPECT_THAT(error_of([&] { apply(constant, data); }).what(), HasSubstr("column 'b', row 2"));
}

TEST(InputNormalization, ValuesThatCannotBeNormalizedAreErrors) {
  EXPECT_THAT(error_of([] {
                fit(numbers<double>(1, {1e300, -1e300}));
              }).what(),
              HasSubstr("test: column 'a': its values are too large"));
  EXPECT_THAT(error_of([] {
                fit(numbers<double>(1, {1.7e308, -1.7e308}));
              }).what(),
              HasSubstr("test: column 'a': its values are too large"));
  const InputNormalization tiny = fit(numbers<double>(1, {1e-150, -1e-150}));
  EXPECT_THAT(apply(tiny, numbers<double>(1, {1e-150})), ElementsAre(1));
  EXPECT_THAT(error_of([&] { apply(tiny, numbers<double>(1, {1.0})); }).what(),
              HasSubstr("its normalized value exceeds the range of a float"));
}

TEST(InputNormalization, RefusesRowsAndCodesThatDoNotExist) {
  const Dataset data = numbers<double>(1, {1, 2});
  EXPECT_THAT(error_of([&] { InputNormalization::fit(data, {}); }).what(),
              HasSubstr("test: no rows to fit the input normalization on"));
  const std::vector<std::uint32_t> beyond{0, 2};
  EXPECT_THAT(error_of([&] { InputNormalization::fit(data, beyond); }).what(),
              HasSubstr("test: row 2 is asked for, but there are only 2"));
  for (const double code : {2.0, -1.0, 0.5, kInfinity}) {
    EXPECT_THAT(error_of([&] {
                  fit(colors({"red", "blue"}, {0, code}));
                }).what(),
                HasSubstr("column 'color', row 2 (counting from 1): expected the index of one"));
  }
  Dataset uneven = numbers<double>(1, {1, 2});
  uneven.rows = 3;
  EXPECT_THAT(error_of([&] { fit(uneven); }).what(),
              HasSubstr("test: expected 3 rows of 1 values, found 2 values in all"));
}

TEST(InputNormalization, AnIdentifierIsNoCategory) {
  std::vector<std::string> categories;
  std::vector<double> codes;
  for (int i = 0; i <= InputNormalization::kMostCategories; ++i) {
    categories.push_back(std::to_string(i));
    codes.push_back(i);
  }
  EXPECT_THAT(error_of([&] { fit(colors(categories, codes)); }).what(),
              HasSubstr("column 'color' has 10001 categories in 10001 rows, more than 10000; an "
                        "identifier or free text"));
}

TEST(InputNormalization, PartsMakeTheSameAgain) {
  Dataset data = colors({"red", "blue"}, {0, 1, kNaN});
  data.columns.push_back({.name = "size"});
  data.values = std::vector<double>{0, 5, 1, 6, kNaN, 9};
  const InputNormalization inputs = fit(data);
  const InputNormalization again =
      InputNormalization::from_parts(inputs.columns(), {inputs.mean().begin(), inputs.mean().end()},
                                     {inputs.variance().begin(), inputs.variance().end()});
  EXPECT_EQ(apply(again, data), apply(inputs, data));

  EXPECT_THAT(error_of([] {
                InputNormalization::from_parts({{.name = "a"}}, {1, 2}, {1});
              }).what(),
              HasSubstr("its 1 columns make 1 inputs, found 2 means and 1 variances"));
  for (const double variance : {-1.0, kNaN, kInfinity}) {
    EXPECT_THAT(
        error_of([&] { InputNormalization::from_parts({{.name = "a"}}, {1}, {variance}); }).what(),
        HasSubstr("input 0: expected a finite mean and a finite variance not below 0"));
  }
}

TEST(InputNormalization, SameBitsForAnyNumberOfThreads) {
  // 20,011 rows: several groups of leaves, the last one short.
  for (const Dataset& data :
       {normals<std::uint8_t>(20'011, 5, 100, 20), normals<double>(20'011, 5, 1e6, 3)}) {
    const std::vector<std::uint32_t> rows = all_rows(data);
    const InputNormalization one = InputNormalization::fit(data, rows, 1);
    const std::vector<float> out = one.apply(data, rows, 1);
    for (const int threads : {2, 3, 8}) {
      const InputNormalization more = InputNormalization::fit(data, rows, threads);
      const auto bytes = one.mean().size() * sizeof(double);
      EXPECT_EQ(std::memcmp(one.mean().data(), more.mean().data(), bytes), 0);
      EXPECT_EQ(std::memcmp(one.variance().data(), more.variance().data(), bytes), 0);
      const std::vector<float> out_more = more.apply(data, rows, threads);
      EXPECT_EQ(std::memcmp(out.data(), out_more.data(), out.size() * sizeof(float)), 0);
    }
  }
}

// Against two passes in long double, with missing values anywhere.
RC_GTEST_PROP(InputNormalization, AgreesWithTheDefinition, ()) {
  const auto rows = *rc::gen::inRange<std::int64_t>(1, 1500);
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  const double offset = *rc::gen::element(0.0, 1.0, -1e6, 1e9);
  const double scale = *rc::gen::element(1.0, 1e-3, 1e5);
  const core::RandomStream stream(seed, core::Purpose::test, 0);
  std::vector<double> x(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = stream.word(i) % 5 == 0 ? kNaN : offset + scale * stream.normal(x.size() + i);
  }
  long double sum = 0, squares = 0, largest = 0;
  double n = 0;
  for (const double v : x) {
    if (std::isnan(v)) continue;
    sum += v;
    ++n;
  }
  const long double mean = n > 0 ? sum / n : 0;
  for (const double v : x) {
    if (std::isnan(v)) continue;
    squares += (v - mean) * (v - mean);
    largest = std::max(largest, std::abs(v - mean));
  }
  const long double variance = n > 0 ? squares / n : 0;
  const InputNormalization inputs = fit(numbers(1, x));
  // The pivot is one of the values, so what is summed is 2 * largest at most.
  const auto spread = static_cast<double>(2 * largest);
  RC_ASSERT(std::abs(static_cast<double>(inputs.mean()[0] - mean)) <=
            double_bound(n, spread) + std::abs(offset) * 0x1p-52);
  RC_ASSERT(std::abs(static_cast<double>(inputs.variance()[0] - variance)) <=
            double_bound(n, spread * spread));
}

}  // namespace
}  // namespace evenrow::data
