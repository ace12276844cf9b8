// Aligned tables of plain text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace evenrow::report {

/// Characters in a line of a terminal: what is printed fits into them where it can.
inline constexpr std::int64_t kLineWidth = 80;

enum class Align { left, right };

struct TableColumn {
  std::string header{};
  Align align = Align::right;
  std::int64_t widest = 60;  ///< Longer cells are shortened to this many terminal columns.
};

/// Rows of cells under headers, columns two blanks apart, no trailing blanks. Cells are shown as
/// printable() has them.
class Table {
 public:
  explicit Table(std::vector<TableColumn> columns) : columns_(std::move(columns)) {}

  /// Missing cells are empty. Errors (usage): more cells than columns.
  void add_row(std::vector<std::string> cells);

  bool empty() const noexcept { return rows_.empty(); }

  /// Terminal columns of the widest line.
  std::int64_t width() const;

  /// The header line (left out when all headers are empty) and the rows, each with a line break,
  /// `indent` blanks before each.
  std::string text(std::int64_t indent = 0) const;

 private:
  std::vector<std::int64_t> widths() const;

  std::vector<TableColumn> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace evenrow::report
