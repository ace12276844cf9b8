#include "stopwatch.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace evenrow::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLeastSeconds = 0.002;  // of one time that is taken
constexpr std::size_t kLeastRounds = 3;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double time_of(const std::function<void()>& operation, std::int64_t repeats) {
  const auto start = Clock::now();
  for (std::int64_t i = 0; i < repeats; ++i) operation();
  return seconds_since(start) / static_cast<double>(repeats);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<double> median_times(const std::vector<std::function<void()>>& operations,
                                 double seconds, const std::function<void(double)>& between) {
  const auto start = Clock::now();
  std::vector<std::int64_t> repeats;
  for (const auto& operation : operations) {
    operation();  // code is made, pages are touched
    const double once = std::max(time_of(operation, 1), 1e-9);
    repeats.push_back(static_cast<std::int64_t>(std::ceil(kLeastSeconds / once)));
  }
  std::vector<std::vector<double>> times(operations.size());
  while (times.back().size() < kLeastRounds || seconds_since(start) < seconds) {
    for (std::size_t i = 0; i < operations.size(); ++i) {
      times[i].push_back(time_of(operations[i], repeats[i]));
      between(std::min(seconds_since(start) / seconds, 1.0));
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& of_one : times) medians.push_back(median(std::move(of_one)));
  return medians;
}

}  // namespace evenrow::cli
