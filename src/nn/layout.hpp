// Where the parameters of a network lie in its flat vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "evenrow/network.hpp"

namespace evenrow::nn {

/// All tensors in their order, without gaps, beginning at 0. `spec` must be checked.
std::vector<ParameterSlot> parameter_slots(const NetworkSpec& spec);

/// Parameters of all slots together.
std::int64_t parameter_count(const std::vector<ParameterSlot>& slots) noexcept;

/// The slot of a block's tensor; null when the block has none of this kind.
const ParameterSlot* find_slot(const std::vector<ParameterSlot>& slots, std::size_t block,
                               ParameterKind kind) noexcept;

}  // namespace evenrow::nn
