// Sums over a fixed binary tree whose shape depends on the number of items alone.
#pragma once

#include <array>
#include <cstdint>

namespace evenrow::kernels {

/// Merges nodes pushed in order as the binary counter does: neighbours first, then neighbours of
/// the results, and so on; what is left over is merged from the small nodes to the large ones. Two
/// properties matter. The tree depends on how many nodes there are, on nothing else. And pushing
/// the totals of aligned runs of 2^k nodes gives the same tree as pushing all their nodes, so that
/// the runs may be computed by different threads. `Node` has merge(a, b), with merge(a, {}) == a.
template <class Node>
class PairwiseMerge {
 public:
  void push(Node node) noexcept {
    std::size_t level = 0;
    for (std::uint64_t bits = pushed_; (bits & 1u) != 0; bits >>= 1) {
      node = merge(levels_[level++], node);
    }
    levels_[level] = node;
    ++pushed_;
  }

  Node total() const noexcept {
    Node sum{};
    std::size_t level = 0;
    for (std::uint64_t bits = pushed_; bits != 0; bits >>= 1, ++level) {
      if ((bits & 1u) != 0) sum = merge(levels_[level], sum);
    }
    return sum;
  }

 private:
  std::array<Node, 64> levels_;  // levels_[k] holds 2^k nodes; set where bit k of pushed_ is
  std::uint64_t pushed_ = 0;
};

}  // namespace evenrow::kernels
