#include "norm/check.hpp"

#include <cmath>
#include <functional>

#include "core/fail.hpp"
#include "core/sizes.hpp"

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
  if (!valid.mask.empty() && !valid.lengths.empty()) {
    core::fail(usage, "{}: valid.mask and valid.lengths are both set; give one of them", function);
  }
  const std::int64_t columns = shape.columns();
  if (!valid.mask.empty() && static_cast<std::int64_t>(valid.mask.size()) != columns) {
    core::fail(usage,
               "{}: valid.mask has {} entries, expected {}, one a column (outer {} * inner {})",
               function, valid.mask.size(), columns, shape.outer, shape.inner);
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

void check_tensor(std::string_view function, const Buffer& tensor, const NormShape& shape) {
  if (static_cast<std::int64_t>(tensor.values) != shape.size()) {
    core::fail(usage,
               "{}: {} has {} values, expected {} = outer {} * channels {} * inner {}; pass the "
               "whole tensor and its shape",
               function, tensor.name, tensor.values, shape.size(), shape.outer, shape.channels,
               shape.inner);
  }
}

void check_channels(std::string_view function, const Buffer& vector, const NormShape& shape,
                    bool may_be_empty) {
  if (static_cast<std::int64_t>(vector.values) == shape.channels) return;
  if (may_be_empty && vector.values == 0) return;
  core::fail(usage, "{}: {} has {} values, expected {}, one a channel{}", function, vector.name,
             vector.values, shape.channels, may_be_empty ? ", or none" : "");
}

void check_overlap(std::string_view function, const Buffer& output, const Buffer& other,
                   bool may_be_same) {
  if (output.bytes == 0 || other.bytes == 0) return;
  if (may_be_same && output.data == other.data) return;
  // std::less orders pointers into different objects too.
  const std::less<const char*> before;
  const char* const a = static_cast<const char*>(output.data);
  const char* const b = static_cast<const char*>(other.data);
  if (!before(a, b + other.bytes) || !before(b, a + output.bytes)) return;
  core::fail(usage, "{}: {} overlaps {}; {}", function, output.name, other.name,
             may_be_same ? "give the same buffer for both, or two that share nothing"
                         : "give two buffers that share nothing");
}

}  // namespace evenrow::norm
