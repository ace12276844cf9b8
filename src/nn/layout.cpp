#include "nn/layout.hpp"

#include <fmt/format.h>

#include <limits>

#include "nn/names.hpp"

namespace evenrow::nn {

std::vector<ParameterSlot> parameter_slots(const NetworkSpec& spec) {
  std::vector<ParameterSlot> slots;
  std::int64_t offset = 0;
  for (std::size_t b = 0; b < spec.blocks.size(); ++b) {
    const DenseSpec& block = spec.blocks[b];
    const auto add = [&](ParameterKind kind, std::int64_t rows, std::int64_t columns) {
      slots.push_back(
          {fmt::format("blocks.{}.{}", b, core::name_of(kind)), kind, offset, rows, columns});
      offset += rows * columns;
    };
    add(ParameterKind::weight, block.units, spec.inputs_of(b));
    if (block.has_bias()) add(ParameterKind::bias, block.units, 1);
    if (const std::int64_t channels = spec.norm_channels(b); channels > 0) {
      add(ParameterKind::gamma, channels, 1);
      add(ParameterKind::beta, channels, 1);
    }
  }
  return slots;
}

std::int64_t parameter_count(const std::vector<ParameterSlot>& slots) noexcept {
  return slots.empty() ? 0 : slots.back().offset + slots.back().size();
}

const ParameterSlot* find_slot(const std::vector<ParameterSlot>& slots, std::size_t block,
                               ParameterKind kind) noexcept {
  std::size_t b = std::numeric_limits<std::size_t>::max();  // each block begins with its weight
  for (const ParameterSlot& slot : slots) {
    if (slot.kind == ParameterKind::weight) ++b;
    if (b == block && slot.kind == kind) return &slot;
  }
  return nullptr;
}

}  // namespace evenrow::nn
