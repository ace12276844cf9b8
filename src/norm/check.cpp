#include "norm/check.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/fail.hpp"
#include "core/sizes.hpp"
#include "kernels/coefficients.hpp"

namespace evenrow::norm {
namespace {

constexpr ErrorKind usage = ErrorKind::usage;

}  // namespace

void check_shape(std::string_view function, const NormShape& shape) {
  if (shape.outer < 0 || shape.channels < 0 || shape.inner < 0) {
    core::fail(usage,
               "{}: shape is [outer {}, channels {}, inner {}], expected sizes of 0 or more whose "
               "product fits in 63 bits",
               function, shape.outer, shape.channels, shape.inner);
  }
  const auto columns = core::checked_product(shape.outer, shape.inner);
  // Bytes of a double tensor too, so that every address computed later is in range.
  const auto size = columns ? core::checked_product(*columns, shape.channels) : std::nullopt;
  if (!size || !core::checked_product(*size, static_cast<std::int64_t>(sizeof(double)))) {
    core::fail(usage,
               "{}: shape is [outer {}, channels {}, inner {}], more values than any memory holds; "
               "check the order of the sizes",
               function, shape.outer, shape.channels, shape.inner);
  }
}

void check_options(std::string_view function, const NormOptions& options) {
  if (!(std::isfinite(options.eps) && options.eps >= 0.0)) {
    core::fail(usage, "{}: options.eps is {}, expected a finite number of 0 or more, such as 1e-5",
               function, options.eps);
  }
  if (options.activation != Activation::none && options.activation != Activation::relu) {
    core::fail(usage,
               "{}: options.activation is number {}, only none and relu can be fused; normalize "
               "with none and apply the activation to y",
               function, static_cast<int>(options.activation));
  }
}

void check_validity(std::string_view function, const NormShape& shape, const Validity& valid) {
  const auto both = [&](const auto& a, std::string_view a_name, const auto& b,
                        std::string_view b_name) {
    if (a.empty() || b.empty()) return;
    core::fail(usage, "{}: valid.{} and valid.{} are both set; give one of them", function, a_name,
               b_name);
  };
  both(valid.mask, "mask", valid.lengths, "lengths");
  both(valid.mask, "mask", valid.weights, "weights");
  both(valid.lengths, "lengths", valid.weights, "weights");
  const std::int64_t columns = shape.columns();
  const auto one_a_column = [&](const auto& values, std::string_view name) {
    if (values.empty() || static_cast<std::int64_t>(values.size()) == columns) return;
    core::fail(usage,
               "{}: valid.{} has {} entries, expected {}, one a column (outer {} * inner {})",
               function, name, values.size(), columns, shape.outer, shape.inner);
  };
  one_a_column(valid.mask, "mask");
  one_a_column(valid.weights, "weights");
  for (std::size_t j = 0; j < valid.weights.size(); ++j) {
    if (!(std::isfinite(valid.weights[j]) && valid.weights[j] >= 0.0f)) {
      core::fail(usage, "{}: valid.weights[{}] is {}, expected a finite number of 0 or more",
                 function, j, valid.weights[j]);
    }
  }
  if (valid.lengths.empty()) return;
  const auto sequences = static_cast<std::int64_t>(valid.lengths.size());
  if (columns % sequences != 0) {
    core::fail(
        usage,
        "{}: valid.lengths has {} sequences, but {} columns (outer {} * inner {}) are not so "
        "many sequences of one padded length",
        function, sequences, columns, shape.outer, shape.inner);
  }
  const std::int64_t padded = columns / sequences;
  for (std::size_t s = 0; s < valid.lengths.size(); ++s) {
    if (valid.lengths[s] < 0 || valid.lengths[s] > padded) {
      core::fail(usage, "{}: valid.lengths[{}] is {}, expected 0 to {}, the padded length",
                 function, s, valid.lengths[s], padded);
    }
  }
}

Steps check_tensor(std::string_view function, const Buffer& values, const NormStrides& strides,
                   const NormShape& shape) {
  const View view(shape);
  const auto given = static_cast<std::int64_t>(values.values);
  if (strides == NormStrides{}) {
    if (given != shape.size()) {
      core::fail(usage,
                 "{}: {} has {} values, expected {} = outer {} * channels {} * inner {}; pass the "
                 "whole tensor and its shape",
                 function, values.name, given, shape.size(), shape.outer, shape.channels,
                 shape.inner);
    }
    return view.channels_last ? Steps{view.channels, 1}
                              : Steps{view.channels * view.inner, view.inner};
  }

  const auto refuse = [&](std::string_view expected) {
    core::fail(usage,
               "{}: {} has strides outer {}, channel {} for [outer {}, channels {}, inner {}], "
               "expected {}; copy it to a dense tensor",
               function, values.name, strides.outer, strides.channel, shape.outer, shape.channels,
               shape.inner, expected);
  };
  if (strides.outer < 0 || strides.channel < 0) refuse("strides of 0 or more");
  // What neighbours in one direction cover must fit between neighbours in the other.
  const auto apart = [](std::int64_t count, std::int64_t stride, std::int64_t covered) {
    return count <= 1 || stride >= covered;
  };
  const auto covered = [&](std::int64_t count, std::int64_t stride, std::int64_t of_one) {
    const auto before = core::checked_product(std::max<std::int64_t>(count - 1, 0), stride);
    if (!before || *before > std::numeric_limits<std::int64_t>::max() / 16 - of_one) {
      refuse("strides that reach no further than memory does");
    }
    return *before + of_one;
  };
  if (view.channels_last) {
    if (strides.channel != 1 || !apart(shape.outer, strides.outer, shape.channels)) {
      refuse("channel 1 and outer of at least the channels, as inner is 1");
    }
  } else if (shape.inner == 1) {
    if (shape.outer > 1 && strides.outer != 1) refuse("outer 1, as one channel is one row");
  } else {
    const std::int64_t of_outer = covered(shape.channels, strides.channel, shape.inner);
    const std::int64_t of_channel = covered(shape.outer, strides.outer, shape.inner);
    const bool outer_first = apart(shape.channels, strides.channel, shape.inner) &&
                             apart(shape.outer, strides.outer, of_outer);
    const bool channel_first = apart(shape.outer, strides.outer, shape.inner) &&
                               apart(shape.channels, strides.channel, of_channel);
    if (!outer_first && !channel_first) refuse("segments of inner values that share nothing");
  }
  const std::int64_t reach = shape.size() == 0
                                 ? 0
                                 : covered(shape.outer, strides.outer,
                                           covered(shape.channels, strides.channel, shape.inner));
  if (given < reach) {
    core::fail(usage,
               "{}: {} has {} values, but its strides (outer {}, channel {}) reach {} for [outer "
               "{}, channels {}, inner {}]; pass all of the tensor that it is a view of",
               function, values.name, given, strides.outer, strides.channel, reach, shape.outer,
               shape.channels, shape.inner);
  }
  return {strides.outer, strides.channel};
}

void check_channels(std::string_view function, const Buffer& vector, const NormShape& shape,
                    bool may_be_empty) {
  if (static_cast<std::int64_t>(vector.values) == shape.channels) return;
  if (may_be_empty && vector.values == 0) return;
  core::fail(usage, "{}: {} has {} values, expected {}, one a channel{}", function, vector.name,
             vector.values, shape.channels, may_be_empty ? ", or none" : "");
}

namespace {

// Whether two views with these strides, `distance` values apart, lie side by side: in every period
// of one stride, what one of them covers is clear of the other.
bool side_by_side(const Buffer& tensor, std::int64_t distance) noexcept {
  const auto clear = [distance](std::int64_t period, std::int64_t covered) {
    if (period <= 0 || covered > period) return false;
    const std::int64_t offset = distance % period;
    return offset >= covered && period - offset >= covered;
  };
  const NormShape& shape = tensor.shape;
  const Steps& steps = tensor.steps;
  return clear(steps.outer, (shape.channels - 1) * steps.channel + shape.inner) ||
         clear(steps.channel, (shape.outer - 1) * steps.outer + shape.inner);
}

}  // namespace

void check_statistics(std::string_view function, std::span<const double> mean,
                      std::span<const double> variance) {
  const auto channels = static_cast<std::int64_t>(mean.size());
  if (kernels::are_statistics(channels, mean.data(), variance.data())) return;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    if (!std::isfinite(mean[c])) {
      core::fail(usage, "{}: mean[{}] is {}, expected a finite number", function, c, mean[c]);
    }
    if (!(std::isfinite(variance[c]) && variance[c] >= 0.0)) {
      core::fail(usage, "{}: variance[{}] is {}, expected a finite number of 0 or more", function,
                 c, variance[c]);
    }
  }
}

void check_overlap(std::string_view function, const Buffer& output, const Buffer& other,
                   bool may_be_same) {
  if (output.bytes() == 0 || other.bytes() == 0) return;
  const bool same_steps = output.steps == other.steps;
  if (may_be_same && output.data == other.data && same_steps) return;
  // std::less orders pointers into different objects too.
  const std::less<const char*> before;
  const char* const a = static_cast<const char*>(output.data);
  const char* const b = static_cast<const char*>(other.data);
  if (!before(a, b + other.bytes()) || !before(b, a + output.bytes())) return;
  const auto distance = static_cast<std::size_t>(before(a, b) ? b - a : a - b);
  if (same_steps && output.shape == other.shape && output.shape.size() > 0 &&
      output.value_bytes == other.value_bytes && distance % output.value_bytes == 0 &&
      side_by_side(output, static_cast<std::int64_t>(distance / output.value_bytes))) {
    return;
  }
  core::fail(usage, "{}: {} overlaps {}; {}", function, output.name, other.name,
             may_be_same ? "give the same buffer for both, or two that share nothing"
                         : "give two buffers that share nothing");
}

}  // namespace evenrow::norm
