// Confusion matrices in 80 columns.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace evenrow::cli {

/// A square matrix of counts: rows are true classes, columns predicted ones.
struct Confusion {
  std::span<const std::int64_t> counts;  ///< Row-major [classes.size(), classes.size()].
  const std::vector<std::string>& classes;

  std::size_t size() const { return classes.size(); }
  std::int64_t at(std::size_t truth, std::size_t predicted) const {
    return counts[truth * size() + predicted];
  }
};

/// The matrix, a line a true class; with more than 20 classes, or where it does not fit 80 columns,
/// the pairs of classes that are confused most instead.
std::string confusion_text(const Confusion& confusion);

/// Precision, recall and F1 of every class; with more than 20 classes only of the 10 with the
/// lowest F1. "-" where a class was never predicted, or never true.
std::string class_scores_text(const Confusion& confusion);

}  // namespace evenrow::cli
