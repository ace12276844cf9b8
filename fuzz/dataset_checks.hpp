// What every data set that a reader gives must keep to, whatever the file holds.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <span>
#include <variant>
#include <vector>

#include "evenrow/dataset.hpp"
#include "evenrow/error.hpp"
#include "evenrow/input_normalization.hpp"

namespace evenrow::fuzz {

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

/// An input is either refused with a message or read; nothing else leaves `read`.
template <class Read>
void refuse_or_read(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::data, "a bad input is an error of kind data");
    require(*error.what() != '\0', "an error says what is wrong");
  }
}

inline void check_dataset(const Dataset& data) {
  require(data.rows > 0, "there are rows");
  const auto columns = static_cast<std::int64_t>(data.columns.size());
  const auto values =
      std::visit([](const auto& v) { return static_cast<std::int64_t>(v.size()); }, data.values);
  require(values == data.rows * columns, "a value for every row and column");
  if (data.target) {
    const Target& target = *data.target;
    if (target.numeric) {
      require(static_cast<std::int64_t>(target.numbers.size()) == data.rows, "a number a row");
    }
    require(target.codes.empty() ? target.numeric
                                 : static_cast<std::int64_t>(target.codes.size()) == data.rows,
            "a code a row");
    for (const std::int32_t code : target.codes) {
      require(code >= -1 && code < static_cast<std::int32_t>(target.spellings.size()),
              "a code is the index of a spelling");
    }
  }
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(data.rows));
  std::iota(rows.begin(), rows.end(), 0u);
  // One-hot inputs multiply: keep what is normalized small.
  if (values > 100'000) return;
  const InputNormalization inputs = InputNormalization::fit(data, rows, 1);
  if (data.rows * inputs.inputs() > 1'000'000) return;
  for (const float x : inputs.apply(data, rows, 1)) {
    require(x - x == 0, "a normalized input is finite");
  }
}

}  // namespace evenrow::fuzz
