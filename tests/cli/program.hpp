// Runs the evenrow program as a user does, and makes the small data sets that it is run on.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"

namespace evenrow::test {

struct Outcome {
  int exit = -1;    ///< Exit code, or -1 when a signal ended the process.
  int signal = 0;   ///< That signal.
  std::string out;  ///< Standard output.
  std::string err;  ///< Standard error.
};

/// A folder of its own that is removed at the end; the program runs in it.
class Workplace {
 public:
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

  void write(const std::string& name, const std::string& content) const {
    folder_.write(name, content);
  }
  std::string read(const std::string& name) const;
  bool has(const std::string& name) const { return std::filesystem::exists(*this / name); }

  /// `evenrow arguments...`, to its end. `out`: where standard output goes, if not to the result.
  Outcome run(const std::vector<std::string>& arguments, const std::string& out = "") const;

  /// The same, still running; `wait` gives its outcome.
  pid_t start(const std::vector<std::string>& arguments, const std::string& out = "",
              const std::string& err = "") const;
  Outcome wait(pid_t child, const std::string& out = "") const;

 private:
  TemporaryFolder folder_;
};

/// 240 flowers: numeric columns (one with missing values), a categorical one with a quoted comma,
/// and the column species with the classes in `species`; the numbers depend on the class.
std::string flowers_csv(const std::vector<std::string>& species = {"setosa", "\"Iris, blue\"",
                                                                   "virginica"});

/// 200 houses: numeric and categorical columns, missing values, and a price that depends on them.
std::string houses_csv();

/// An IDX file of `dimensions` whose bytes are `values`.
std::string idx_bytes(const std::vector<std::uint32_t>& dimensions, const std::string& values);

/// Writes 120 images of 6 x 6 pixels in 3 classes as NAME-images-idx3-ubyte and labels.
void write_images(const Workplace& workplace, const std::string& name);

/// Lines in `text`.
std::int64_t line_count(const std::string& text);

}  // namespace evenrow::test
