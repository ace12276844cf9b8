#include "data/prepared_inputs.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <vector>

#include "support/throws_error.hpp"

namespace evenrow::data {
namespace {

const std::vector<std::uint32_t> kRows = {2, 0, 1};

Dataset three_rows(decltype(Dataset::values) values) {
  return {.source = "rows",
          .rows = 3,
          .columns = {{.name = "a"}, {.name = "b"}},
          .values = std::move(values)};
}

template <class T>
Dataset numbers() {
  return three_rows(std::vector<T>{1, 200, 4, 0, 255, 7});
}

template <class T>
void check_that_rows_are_those_of_apply() {
  const Dataset data = numbers<T>();
  const InputNormalization with = InputNormalization::fit(data, kRows);
  const std::vector<float> expected = with.apply(data, kRows);
  const PreparedInputs prepared(with, data, kRows);
  ASSERT_EQ(prepared.inputs(), 2);
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    std::vector<float> row(2);
    EXPECT_TRUE(prepared.normalize(kRows[i], row.data()));
    EXPECT_EQ(row, std::vector(expected.begin() + 2 * static_cast<std::ptrdiff_t>(i),
                               expected.begin() + 2 * static_cast<std::ptrdiff_t>(i + 1)));
  }
}

TEST(PreparedInputs, AreTheRowsOfApply) {
  check_that_rows_are_those_of_apply<std::uint8_t>();
  check_that_rows_are_those_of_apply<float>();
  check_that_rows_are_those_of_apply<double>();
}

TEST(PreparedInputs, BytesThatCannotBecomeInfiniteAreBestLeftAsTheyAre) {
  const Dataset bytes = numbers<std::uint8_t>(), floats = numbers<float>();
  const InputNormalization with = InputNormalization::fit(bytes, kRows);
  EXPECT_TRUE(PreparedInputs(with, bytes, kRows).of_bytes());
  EXPECT_FALSE(PreparedInputs(with, floats, kRows).of_bytes());
  // 255 standard deviations of 1e-36 are finite as a float, of 1e-37 they are not.
  const auto narrow = [&](double deviation) {
    return InputNormalization::from_parts(bytes.columns, {0, 0}, {1, deviation * deviation});
  };
  EXPECT_TRUE(PreparedInputs(narrow(1e-36), bytes, kRows).of_bytes());
  EXPECT_FALSE(PreparedInputs(narrow(1e-37), bytes, kRows).of_bytes());
  EXPECT_THAT([&] { (void)narrow(1e-37).apply(bytes, kRows); },
              ThrowsError(ErrorKind::data, "exceeds the range of a float"));
}

TEST(PreparedInputs, AnInfiniteValueIsNamed) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Dataset data = three_rows(std::vector<double>{1, 2, 3, infinity, 5, 6});
  const InputNormalization with = InputNormalization::from_parts(data.columns, {0, 0}, {1, 1});
  const PreparedInputs prepared(with, data, kRows);
  std::vector<float> row(2);
  EXPECT_TRUE(prepared.normalize(0, row.data()));
  EXPECT_FALSE(prepared.normalize(1, row.data()));
  EXPECT_THAT([&] { (void)prepared.normalize(kRows, 1); },
              ThrowsError(ErrorKind::data, "column 'b', row 2"));
}

}  // namespace
}  // namespace evenrow::data
