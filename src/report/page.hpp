// A page of tables and pictures as plain data, and the one HTML file that shows it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace evenrow::report {

struct Axis {
  std::string title{};
  bool logarithmic = false;
  bool percent = false;         ///< Values are parts of one.
  bool whole = false;           ///< Marks at whole numbers only.
  std::vector<double> ticks{};  ///< Where the marks are; empty: the plotting library decides.
};

/// Points of a line chart. NaN in y: no point there.
struct Line {
  enum class Kind {
    line,     ///< Points, joined.
    points,   ///< Points alone.
    crosses,  ///< The same, for what went wrong.
    range     ///< A thick bar from the first point to the last.
  };
  std::string name{};
  Kind kind = Kind::line;
  int colour = 0;      ///< Which of the page's colours; each has a dash and a marker of its own.
  bool faint = false;  ///< Thinner: a line that accompanies another one of this colour.
  std::vector<double> x{}, y{};
  std::vector<double> low{}, high{};  ///< A band around y; empty: none.
};

struct LineChart {
  Axis x, y;
  std::vector<Line> lines{};
};

/// The parts of a distribution that lie below the quantiles: 1, 5, 25, 50, 75, 95, 99 %.
inline constexpr std::array<double, 7> kQuantiles{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};
using Quantiles = std::array<double, kQuantiles.size()>;

/// Distributions over time, beside each other on one scale; the reader chooses what is shown.
struct BandChart {
  struct Panel {
    std::string name;
    int colour = 0;
    std::vector<double> x;
    std::vector<Quantiles> quantiles;  ///< One an x.
  };
  struct Choice {
    std::string name;
    std::vector<Panel> panels;
  };
  Axis x, y;
  std::string choice_title;  ///< What is chosen: "Layer".
  std::vector<Choice> choices;
  std::size_t chosen = 0;  ///< At first.
};

/// Horizontal bars.
struct BarChart {
  Axis x;
  std::string label_title;
  std::vector<std::pair<std::string, double>> bars;
};

/// A vertical axis a parameter, a line an item across all of them.
struct ParallelChart {
  struct Dimension {
    std::string name;
    std::vector<std::pair<double, std::string>>
        marks;                                       ///< Height in [0, 1], and what stands there.
    std::vector<std::pair<double, double>> parts{};  ///< Heights between which it is thick.
  };
  struct Item {
    std::string name;
    std::vector<double> heights;     ///< In [0, 1], one a dimension; NaN: does not cross this one.
    std::vector<std::string> cells;  ///< The same as text, for the table.
    double rank = 0;  ///< From 0, the worst, to 1, the best: how strongly it is drawn.
  };
  std::vector<Dimension> dimensions;
  std::vector<Item> items;
};

/// A picture with a title and one sentence on what it shows. The page puts the numbers beneath it.
struct Figure {
  std::string title;
  std::string finding;
  std::variant<LineChart, BandChart, BarChart, ParallelChart> chart;
  std::string note{};  ///< How to read it; empty: no need.
};

struct Paragraph {
  std::string text;
};

/// A table with a caption. The first cell of a row names it.
struct Grid {
  std::string caption;
  std::vector<std::string> headers;
  std::vector<std::vector<std::string>> rows;
  bool folded = false;  ///< Shown when asked for.
  bool numbers = true;  ///< Cells beside the first are aligned to the right.
};

/// Counts of pairs: rows are true classes, columns predicted ones.
struct Matrix {
  std::string caption;
  std::vector<std::string> classes;
  std::vector<std::int64_t> counts;  ///< Row-major [classes, classes].
};

/// Small grey pictures, all of one size.
struct Pictures {
  struct Item {
    std::vector<std::uint8_t> pixels;  ///< Row-major [height, width].
    std::string caption;
  };
  std::string caption;
  std::int64_t height = 0, width = 0;
  std::vector<Item> items;
};

using Block = std::variant<Paragraph, Figure, Grid, Matrix, Pictures>;

struct Section {
  std::string title;
  std::vector<Block> blocks;
};

struct Page {
  std::string title;
  std::string summary;
  std::string made_by;  ///< The program and its version.
  std::vector<Section> sections;
};

/// One HTML file that needs no other and asks for none: style, scripts and data are inside, and its
/// content security policy lets nothing else in. Texts may hold anything: they are shown as they
/// are, never read as HTML or script. The same page gives the same bytes.
std::string page_html(const Page& page);

}  // namespace evenrow::report
