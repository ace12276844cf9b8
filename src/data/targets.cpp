#include "data/targets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/fail.hpp"

namespace evenrow::data {

Target target_of_numbers(const std::string& source, std::string name, std::vector<double> numbers) {
  std::vector<double> distinct;
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    double& number = numbers[row];
    if (std::isinf(number)) {
      core::fail(ErrorKind::data,
                 "{}: target '{}': row {} (counting from 1) is infinite; expected finite numbers, "
                 "or NaN for a missing one",
                 source, name, row + 1);
    }
    if (number == 0) number = 0;  // -0 and 0 are one class
    if (!std::isnan(number)) distinct.push_back(number);
  }
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());

  Target target{.name = std::move(name), .numeric = true, .numbers = std::move(numbers)};
  if (static_cast<std::int64_t>(distinct.size()) > kMostNumericClasses) return target;
  for (const double number : distinct) target.spellings.push_back(fmt::format("{}", number));
  target.codes.reserve(target.numbers.size());
  for (const double number : target.numbers) {
    const auto at = std::lower_bound(distinct.begin(), distinct.end(), number);
    target.codes.push_back(std::isnan(number) ? -1
                                              : static_cast<std::int32_t>(at - distinct.begin()));
  }
  return target;
}

std::vector<double> as_doubles(const Values& values) {
  return std::visit(
      [](const auto& numbers) { return std::vector<double>(numbers.begin(), numbers.end()); },
      values);
}

}  // namespace evenrow::data
