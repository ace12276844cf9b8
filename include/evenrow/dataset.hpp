// Data sets: what the readers of CSV, npy/npz and IDX files give.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace evenrow {

enum class ColumnKind { numeric, categorical };

/// A feature column as the file has it.
struct Column {
  std::string name;
  ColumnKind kind = ColumnKind::numeric;
  /// categorical: the spellings; the value in the matrix is the index of one, NaN when missing.
  std::vector<std::string> categories{};
};

/// The column to be predicted. Exactly as many entries as the data set has rows.
struct Target {
  std::string name;
  /// True when every value present is a number; `numbers` is then filled (NaN: missing).
  bool numeric = false;
  std::vector<double> numbers{};
  /// Distinct spellings, in the order of their first appearance (IDX and npy labels: ascending),
  /// and the index of each row's one (-1: missing). Left empty when a numeric target has more than
  /// 10,000 distinct spellings: such a target is for regression.
  std::vector<std::string> spellings{};
  std::vector<std::int32_t> codes{};
};

/// Raw rows: numbers as the file has them, not yet normalized. A value.
struct Dataset {
  std::string source{};  ///< File name or word, for messages.
  std::int64_t rows = 0;
  std::vector<Column> columns{};
  /// Row-major [rows, columns.size()]; the element type is the source's. NaN: missing.
  std::variant<std::vector<std::uint8_t>, std::vector<float>, std::vector<double>> values{};
  std::optional<Target> target{};
  /// Height and width when a row is an image; 0 otherwise.
  std::int64_t image_height = 0, image_width = 0;
};

struct ReadOptions {
  /// Name of the target column (CSV; also "c1", "c2", ... where there is no header), or of the
  /// array in an npz (then the features are the other array, or "x"/"X"). Empty: the last column;
  /// "y" in an npz.
  std::string target{};
  /// Columns a model was trained on. When given, a CSV column has the kind it has here (a word in
  /// a numeric column is an error with its line), and a missing target column is not an error:
  /// Dataset::target is then empty.
  std::optional<std::vector<Column>> expected{};
};

/// Reads `source`: the word "fashion-mnist" (training part; "fashion-mnist:test" for the test
/// part), or a path. By content, then by name:
/// - CSV, TSV, TXT: text, one row a line, RFC 4180 quoting; the separator (comma, semicolon, tab)
///   and whether there is a header are found from the first lines; empty, "NA", "N/A", "NaN",
///   "null" and "?" are missing.
/// - npy: a 2-D array [rows, columns], the target being its last column; npz: arrays "x" and "y".
/// - IDX: the path of the images file "NAME-images-idx3-ubyte[.gz]"; the labels are looked for
///   beside it as "NAME-labels-idx1-ubyte[.gz]".
/// Each of them may be gzipped. "fashion-mnist" is the Debian package dataset-fashion-mnist; the
/// environment variable EVENROW_DATASETS names another folder than /usr/share/datasets.
/// Errors (evenrow::Error; data or io): missing or empty file, wrong magic, truncated file or gzip
/// stream, a row with another number of fields (with its line), an unknown target (with the
/// nearest name).
Dataset read_dataset(const std::string& source, const ReadOptions& options = {});

}  // namespace evenrow
