// Checks of the operator's arguments, once, at the public boundary. Every message names the
// function and the argument.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "evenrow/batch_norm.hpp"

namespace evenrow::norm {

/// Errors (usage): a negative size, or a product of the sizes that overflows.
void check_shape(std::string_view function, const NormShape& shape);

/// Errors (usage): eps negative or not finite, an activation that cannot be fused.
void check_options(std::string_view function, const NormOptions& options);

/// Errors (usage): both fields set; a mask of another size; lengths that do not divide the columns,
/// are negative, or longer than the padded sequences.
void check_validity(std::string_view function, const NormShape& shape, const Validity& valid);

/// A buffer of the caller, for messages and for comparing addresses.
struct Buffer {
  std::string_view name;
  const void* data = nullptr;
  std::size_t values = 0;
  std::size_t bytes = 0;
};
template <class T>
Buffer buffer(std::string_view name, std::span<T> span) noexcept {
  return {name, span.data(), span.size(), span.size_bytes()};
}

/// Errors (usage): not a value for each element of the tensor; not one a channel (or, if
/// `may_be_empty`, none).
void check_tensor(std::string_view function, const Buffer& tensor, const NormShape& shape);
void check_channels(std::string_view function, const Buffer& vector, const NormShape& shape,
                    bool may_be_empty);

/// Errors (usage): `output` shares memory with `other`, unless `may_be_same` and they are the same.
void check_overlap(std::string_view function, const Buffer& output, const Buffer& other,
                   bool may_be_same);

}  // namespace evenrow::norm
