#include "tune/usable_range.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/random.hpp"
#include "evenrow/compare.hpp"

namespace evenrow {
namespace tuning {

std::optional<Range> range_above(std::span<const double> positions, std::span<const double> scores,
                                 double threshold) {
  const auto best = static_cast<std::size_t>(std::ranges::max_element(scores) - scores.begin());
  if (scores.empty() || scores[best] < threshold) return std::nullopt;
  // Where the line from a good point to a bad one crosses the threshold.
  const auto crossing = [&](std::size_t good, std::size_t bad) {
    const double part = (scores[good] - threshold) / (scores[good] - scores[bad]);
    return positions[good] + part * (positions[bad] - positions[good]);
  };
  std::size_t first = best, last = best;
  while (first > 0 && scores[first - 1] >= threshold) --first;
  while (last + 1 < scores.size() && scores[last + 1] >= threshold) ++last;
  Range range{.open_low = first == 0, .open_high = last + 1 == scores.size()};
  range.low = range.open_low ? positions[first] : crossing(first, first - 1);
  range.high = range.open_high ? positions[last] : crossing(last, last + 1);
  return range;
}

namespace {

constexpr std::int64_t kResamples = 1000;

enum class Axis { decades, doublings, linear };

Axis scale_of(Vary vary) {
  switch (vary) {
    case Vary::learning_rate:
    case Vary::init_scale:
    case Vary::input_scale:
      return Axis::decades;
    case Vary::batch_size:
      return Axis::doublings;
    case Vary::depth:
    case Vary::seed:
      break;
  }
  return Axis::linear;
}

double position(Axis scale, double value) {
  return scale == Axis::decades     ? std::log10(value)
         : scale == Axis::doublings ? std::log2(value)
                                    : value;
}

double value_at(Axis scale, double at) {
  return scale == Axis::decades     ? std::pow(10.0, at)
         : scale == Axis::doublings ? std::exp2(at)
                                    : at;
}

// What a run is worth, by norm, value and seed.
class Scores {
 public:
  explicit Scores(const Comparison& comparison)
      : norms_(comparison.norms.size()), seeds_(std::max<std::size_t>(comparison.seeds.size(), 1)) {
    for (const ComparedRun& run : comparison.runs) {
      scores_.push_back(std::max(0.0, run.score.value_or(0.0)));
    }
    values_ = scores_.size() / norms_ / seeds_;
  }

  std::size_t norms() const { return norms_; }
  std::size_t values() const { return values_; }
  std::size_t seeds() const { return seeds_; }

  double at(std::size_t norm, std::size_t value, std::size_t seed) const {
    return scores_[(norm * values_ + value) * seeds_ + seed];
  }

  /// Averages over the drawn seeds, a list of values for each norm.
  std::vector<std::vector<double>> averages(std::span<const std::size_t> drawn) const {
    std::vector<std::vector<double>> result(norms_, std::vector<double>(values_, 0.0));
    for (std::size_t norm = 0; norm < norms_; ++norm) {
      for (std::size_t value = 0; value < values_; ++value) {
        double sum = 0;
        for (const std::size_t seed : drawn) sum += at(norm, value, seed);
        result[norm][value] = sum / static_cast<double>(drawn.size());
      }
    }
    return result;
  }

 private:
  std::size_t norms_, seeds_, values_ = 0;
  std::vector<double> scores_;
};

double highest(const std::vector<std::vector<double>>& scores) {
  double best = 0;
  for (const auto& row : scores) best = std::max(best, std::ranges::max(row));
  return best;
}

// `count` numbers below `count`, with replacement; a function of the draw.
std::vector<std::size_t> drawn_indices(std::int64_t draw, std::size_t count) {
  const core::RandomStream stream(1, core::Purpose::bootstrap, static_cast<std::uint64_t>(draw));
  std::vector<std::size_t> indices(count);
  for (std::size_t i = 0; i < count; ++i) {
    indices[i] = static_cast<std::size_t>(stream.uniform(i) * static_cast<double>(count));
  }
  return indices;
}

std::vector<std::size_t> all_indices(std::size_t count) {
  std::vector<std::size_t> indices(count);
  for (std::size_t i = 0; i < count; ++i) indices[i] = i;
  return indices;
}

// The part `part` of the sorted sizes, interpolated linearly.
double quantile(const std::vector<double>& sorted, double part) {
  const double at = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// The sizes of all norms' ranges, for the drawn seeds.
template <class Sizes>
void add_intervals(std::vector<UsableRange>& usable, std::size_t seeds, const Sizes& sizes_of) {
  std::vector<std::vector<double>> sizes(usable.size());
  for (std::int64_t draw = 0; draw < kResamples; ++draw) {
    const std::vector<double> drawn = sizes_of(drawn_indices(draw, seeds));
    for (std::size_t norm = 0; norm < drawn.size(); ++norm) sizes[norm].push_back(drawn[norm]);
  }
  for (std::size_t norm = 0; norm < usable.size(); ++norm) {
    std::ranges::sort(sizes[norm]);
    usable[norm].interval_low = quantile(sizes[norm], 0.025);
    usable[norm].interval_high = quantile(sizes[norm], 0.975);
  }
}

// Vary::seed: every value is a seed with one run, and good ones are counted.
void count_usable_seeds(Comparison& comparison, const Scores& scores) {
  const auto counts = [&](std::span<const std::size_t> drawn) {
    double best = 0;
    for (std::size_t norm = 0; norm < scores.norms(); ++norm) {
      for (const std::size_t value : drawn) best = std::max(best, scores.at(norm, value, 0));
    }
    std::vector<double> good(scores.norms(), 0.0);
    for (std::size_t norm = 0; norm < scores.norms(); ++norm) {
      for (const std::size_t value : drawn) {
        if (scores.at(norm, value, 0) >= best - kUsableMargin) ++good[norm];
      }
    }
    return good;
  };
  const auto all = all_indices(scores.values());
  const auto each = scores.averages(std::vector<std::size_t>{0});
  const std::vector<double> good = counts(all);
  comparison.best_of_all = highest(each);
  for (std::size_t norm = 0; norm < scores.norms(); ++norm) {
    comparison.usable.push_back(
        {.norm = comparison.norms[norm], .best = std::ranges::max(each[norm]), .size = good[norm]});
  }
  add_intervals(comparison.usable, scores.values(), counts);
}

}  // namespace
}  // namespace tuning

const char* unit_of(Vary vary) {
  if (vary == Vary::seed) return "seeds";
  const tuning::Axis scale = tuning::scale_of(vary);
  return scale == tuning::Axis::decades     ? "decades"
         : scale == tuning::Axis::doublings ? "doublings"
                                            : "blocks";
}

void find_usable_ranges(Comparison& comparison) {
  using namespace tuning;
  comparison.usable.clear();
  const Scores scores(comparison);
  if (comparison.vary == Vary::seed) return count_usable_seeds(comparison, scores);

  const Axis scale = scale_of(comparison.vary);
  std::vector<double> positions;
  for (const double value : comparison.values) positions.push_back(position(scale, value));
  const auto averages = scores.averages(all_indices(scores.seeds()));
  comparison.best_of_all = highest(averages);
  for (std::size_t norm = 0; norm < scores.norms(); ++norm) {
    UsableRange usable{.norm = comparison.norms[norm], .best = std::ranges::max(averages[norm])};
    if (const auto range =
            range_above(positions, averages[norm], comparison.best_of_all - kUsableMargin)) {
      usable.open_low = range->open_low;
      usable.open_high = range->open_high;
      usable.low = range->open_low ? comparison.values.front() : value_at(scale, range->low);
      usable.high = range->open_high ? comparison.values.back() : value_at(scale, range->high);
      usable.size = range->high - range->low;
    }
    comparison.usable.push_back(usable);
  }
  add_intervals(comparison.usable, scores.seeds(), [&](std::span<const std::size_t> drawn) {
    const auto here = scores.averages(drawn);
    const double threshold = highest(here) - kUsableMargin;
    std::vector<double> sizes;
    for (const auto& row : here) {
      const auto range = range_above(positions, row, threshold);
      sizes.push_back(range ? range->high - range->low : 0.0);
    }
    return sizes;
  });
}

}  // namespace evenrow
