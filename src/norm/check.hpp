// Checks of the operator's arguments, once, at the public boundary. Every message names the
// function and the argument.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "evenrow/batch_norm.hpp"
#include "norm/valid_columns.hpp"

namespace evenrow::norm {

/// Errors (usage): a negative size, or a product of the sizes that overflows.
void check_shape(std::string_view function, const NormShape& shape);

/// Errors (usage): eps negative or not finite, an activation that cannot be fused.
void check_options(std::string_view function, const NormOptions& options);

/// Errors (usage): two fields set; a mask or weights of another size; lengths that do not divide
/// the columns, are negative, or longer than the padded sequences; weights that are negative or not
/// finite.
void check_validity(std::string_view function, const NormShape& shape, const Validity& valid);

/// Strides of a tensor in a View.
struct Steps {
  std::int64_t outer = 0;
  std::int64_t channel = 0;
  friend bool operator==(const Steps&, const Steps&) = default;
};

/// A buffer of the caller, for messages and for comparing addresses; a tensor's has its sizes too.
struct Buffer {
  std::string_view name;
  const void* data = nullptr;
  std::size_t values = 0;
  std::size_t value_bytes = 1;
  Steps steps{};
  NormShape shape{};  ///< As the View has it; all 0: no tensor.
  std::size_t bytes() const noexcept { return values * value_bytes; }
};
template <class T>
Buffer buffer(std::string_view name, std::span<T> span) noexcept {
  return {name, span.data(), span.size(), sizeof(T)};
}
template <class T>
Buffer buffer(std::string_view name, const NormTensor<T>& tensor, const Steps& steps,
              const View& view) noexcept {
  return {name,
          tensor.values.data(),
          tensor.values.size(),
          sizeof(T),
          steps,
          {view.outer, view.channels, view.inner}};
}

/// The strides of a tensor in its view. Errors (usage): not a value for each element of a dense
/// tensor, fewer than the strides of another one reach; strides that no loop has, or that let
/// elements share memory.
Steps check_tensor(std::string_view function, const Buffer& values, const NormStrides& strides,
                   const NormShape& shape);

/// Errors (usage): not one a channel (or, if `may_be_empty`, none).
void check_channels(std::string_view function, const Buffer& vector, const NormShape& shape,
                    bool may_be_empty);

/// Errors (usage): a mean that is not finite; a variance that is not finite, or negative. Both have
/// one value a channel.
void check_statistics(std::string_view function, std::span<const double> mean,
                      std::span<const double> variance);

/// Errors (usage): `output` shares memory with `other`, unless `may_be_same` and they are the same.
/// Two views of one larger tensor may lie side by side.
void check_overlap(std::string_view function, const Buffer& output, const Buffer& other,
                   bool may_be_same);

}  // namespace evenrow::norm
