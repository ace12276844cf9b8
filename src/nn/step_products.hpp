// The matrix products of a training step and nothing else: what no trainer on this library of
// products can go below. Benchmarks measure steps against it.
#pragma once

#include <cstdint>
#include <vector>

#include "evenrow/aligned.hpp"
#include "evenrow/network.hpp"

namespace evenrow::nn {

/// Values in [-1, 1) that are neither all equal nor slow to make: what they are does not change the
/// time of what is measured on them.
AlignedVector<float> some_values(std::int64_t count);

class StepProducts {
 public:
  StepProducts(const NetworkSpec& spec, std::int64_t examples, int threads);

  /// The products as TrainingPass has them, forward and backward: in the same blocks of rows, and
  /// with the same operands transposed first.
  void run();

  /// Floating-point operations of run(): two for each multiplication and addition.
  double operations() const noexcept { return operations_; }

 private:
  struct Layer {
    std::int64_t inputs = 0, units = 0;
    AlignedVector<float> weight, activations;
  };
  template <class Block>
  void product(std::int64_t rows, const Block& block) const;

  int threads_;
  std::int64_t examples_;
  double operations_ = 0;
  std::vector<Layer> layers_;
  AlignedVector<float> gradient_, result_, transposed_;
  AlignedVector<float> spare_;  // as large as the gradients, where a pass copies its inputs
};

}  // namespace evenrow::nn
