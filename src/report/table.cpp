#include "report/table.hpp"

#include <algorithm>
#include <cstddef>

#include "core/fail.hpp"
#include "report/text.hpp"

namespace evenrow::report {
namespace {

constexpr std::int64_t kGap = 2;

void append_cell(std::string& line, const std::string& cell, std::int64_t width, Align align) {
  const std::string padding(
      static_cast<std::size_t>(std::max<std::int64_t>(width - display_width(cell), 0)), ' ');
  line += align == Align::left ? cell + padding : padding + cell;
}

void finish_line(std::string& text, std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  text += line + "\n";
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  if (cells.size() > columns_.size()) {
    core::fail(ErrorKind::usage, "table: a row of {} cells; expected at most {}, one a column",
               cells.size(), columns_.size());
  }
  cells.resize(columns_.size());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    cells[i] = shortened(cells[i], columns_[i].widest);
  }
  rows_.push_back(std::move(cells));
}

std::vector<std::int64_t> Table::widths() const {
  std::vector<std::int64_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::int64_t width = display_width(columns_[i].header);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i]));
    widths.push_back(width);
  }
  return widths;
}

std::int64_t Table::width() const {
  std::int64_t width = columns_.empty() ? 0 : -kGap;
  for (const std::int64_t column : widths()) width += column + kGap;
  return width;
}

std::string Table::text(std::int64_t indent) const {
  const std::vector<std::int64_t> wide = widths();
  const std::string blanks(static_cast<std::size_t>(std::max<std::int64_t>(indent, 0)), ' ');
  const std::string gap(kGap, ' ');
  std::string text, header = blanks;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (i > 0) header += gap;
    append_cell(header, columns_[i].header, wide[i], columns_[i].align);
  }
  if (header.find_first_not_of(' ') != std::string::npos) finish_line(text, header);
  for (const auto& row : rows_) {
    std::string line = blanks;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line += gap;
      append_cell(line, row[i], wide[i], columns_[i].align);
    }
    finish_line(text, line);
  }
  return text;
}

}  // namespace evenrow::report
