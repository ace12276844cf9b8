// Inference that is called again and again, for a service or a control loop: everything that can be
// computed or allocated ahead is.
//
//   InferencePass<float> pass(load_model("flowers.safetensors").network);
//   for (...) pass.run(x, y);
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "evenrow/network.hpp"

namespace evenrow {

struct InferencePassOptions {
  std::int64_t max_examples = 1;  ///< All memory is allocated for this many, once.
  int threads = 1;                ///< Examples are shared out 256 at a time; 0: all.
};

/// A copy of a network, its batch norms folded to one multiply-add a value (`y = a x + b`, with
/// `a = gamma / sqrt(running variance + eps)`), and memory. Results are those of Network::infer,
/// bit for bit. Not thread-safe itself: one a thread. T: float, double.
template <class T>
class InferencePass {
 public:
  /// Errors: a network without blocks; max_examples below 1.
  explicit InferencePass(Network<T> network, const InferencePassOptions& options = {});
  InferencePass(InferencePass&&) noexcept;
  InferencePass& operator=(InferencePass&&) noexcept;
  ~InferencePass();

  /// x row-major [examples, inputs], y row-major [examples, outputs], no overlap; up to
  /// max_examples examples. Allocates nothing. Errors: sizes that do not match.
  void run(std::span<const T> x, std::span<T> y);

  const Network<T>& network() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenrow
