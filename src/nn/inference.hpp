// Inference of a network of dense blocks, channels last: an example's values of a block are
// contiguous, so that one example and a thousand are the same product and the same loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "evenrow/aligned.hpp"
#include "evenrow/network.hpp"
#include "kernels/coefficients.hpp"

namespace evenrow::nn {

/// The number of examples of an x and a y of so many values. Errors (usage): sizes that do not fit
/// the network or each other.
std::int64_t check_inference(const NetworkSpec& spec, std::size_t x_values, std::size_t y_values);

/// What inference needs beside the network: folded coefficients, and memory for max_examples. T:
/// float, double. Not thread-safe.
template <class T>
class Inference {
 public:
  Inference(const Network<T>& network, std::int64_t max_examples, int threads);

  /// As Network::infer, with the network that this was made from, unchanged since. Allocates
  /// nothing of its own.
  void run(const Network<T>& network, const T* x, std::int64_t examples, T* y) noexcept;

 private:
  // (x - center) * scale + shift, one value of each a channel; empty: nothing to be done.
  struct Coefficients {
    std::vector<T> center, scale, shift;
  };
  struct Block {
    std::int64_t weight = 0;  // offset into the flat parameters
    Coefficients read;        // the norm before the linear part
    Coefficients linear;      // the norm after it, or the bias
    Coefficients output;      // the norm after the activation
    bool keeps = false;       // a later block adds what this one gives
  };

  static Coefficients folded_norm(const Network<T>& network, std::size_t block);
  static void apply(const Coefficients& k, const T* x, T* y, std::int64_t examples, bool relu);
  void run_task(const Network<T>& network, const T* x, std::int64_t examples, T* scratch,
                T* y) const noexcept;

  std::vector<Block> blocks_;
  int threads_ = 1;
  std::int64_t matrix_ = 0;   // values of a scratch matrix
  AlignedVector<T> scratch_;  // some matrices a thread
};

}  // namespace evenrow::nn
