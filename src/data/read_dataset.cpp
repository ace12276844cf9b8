#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "core/fail.hpp"
#include "data/byte_source.hpp"
#include "data/csv.hpp"
#include "data/idx.hpp"
#include "data/npy.hpp"
#include "data/npz.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow {
namespace {

namespace fs = std::filesystem;

Dataset read_fashion_mnist(const std::string& word, const ReadOptions& options) {
  const std::string part = word == "fashion-mnist" ? "train" : word.substr(word.find(':') + 1);
  if (part != "train" && part != "test") {
    core::fail(ErrorKind::usage,
               "{}: fashion-mnist has two parts, fashion-mnist:train (or just fashion-mnist) and "
               "fashion-mnist:test",
               word);
  }
  const char* const folder = std::getenv("EVENROW_DATASETS");
  const fs::path base = fs::path(folder != nullptr ? folder : "/usr/share/datasets");
  const std::string prefix = part == "test" ? "t10k" : "train";
  const fs::path images = base / "fashion-mnist" / (prefix + "-images-idx3-ubyte.gz");
  const fs::path labels = base / "fashion-mnist" / (prefix + "-labels-idx1-ubyte.gz");
  for (const fs::path& path : {images, labels}) {
    std::error_code error;
    if (!fs::exists(path, error)) {
      core::fail(ErrorKind::io,
                 "{}: {} does not exist; install the Debian package dataset-fashion-mnist (apt-get "
                 "install dataset-fashion-mnist), or set EVENROW_DATASETS to the folder that holds "
                 "fashion-mnist/",
                 word, path.string());
    }
  }
  const auto image_source = data::open_file(images);
  const auto label_source = data::open_file(labels);
  Dataset dataset = data::read_idx(*image_source, label_source.get(), options);
  dataset.source = word;
  return dataset;
}

Dataset read_idx_pair(const fs::path& path, data::ByteSource& images, const ReadOptions& options) {
  const std::vector<fs::path> candidates = data::label_paths(path);
  for (const fs::path& labels : candidates) {
    std::error_code error;
    if (fs::exists(labels, error)) {
      return data::read_idx(images, data::open_file(labels).get(), options);
    }
  }
  Dataset dataset = data::read_idx(images, nullptr, options);
  if (!options.expected) {
    core::fail(ErrorKind::io, "{}: its labels are missing: {}", path.string(),
               candidates.empty()
                   ? "the file should be named NAME-images-idx3-ubyte, and the one of the labels "
                     "NAME-labels-idx1-ubyte"
                   : fmt::format("there is no {}, gzipped or not", candidates[0].string()));
  }
  return dataset;
}

enum class Format { text, npy, npz, idx };

/// By the first bytes; by the name where those are nothing known, so that a damaged file is
/// reported as what it should be.
Format format_of(const fs::path& path, data::ByteSource& source) {
  std::array<std::uint8_t, 4> start{};
  const std::int64_t found = source.read(start);
  source.rewind();
  const std::string_view text(reinterpret_cast<const char*>(start.data()),
                              static_cast<std::size_t>(found));
  if (text == "\x93NUM") return Format::npy;
  if (text == "PK\x03\x04" || text == "PK\x05\x06") return Format::npz;
  if (found == 4 && start[0] == 0 && start[1] == 0 && start[2] >= 8 && start[3] != 0) {
    return Format::idx;
  }
  fs::path name = path.filename();
  if (name.extension() == ".gz") name = name.stem();
  if (name.extension() == ".npy") return Format::npy;
  if (name.extension() == ".npz") return Format::npz;
  return name.string().find("-ubyte") != std::string::npos ? Format::idx : Format::text;
}

}  // namespace

Dataset read_dataset(const std::string& source, const ReadOptions& options) {
  if (source == "fashion-mnist" || source.starts_with("fashion-mnist:")) {
    return read_fashion_mnist(source, options);
  }
  const fs::path path(source);
  const auto bytes = data::open_file(path);
  switch (format_of(path, *bytes)) {
    case Format::npy:
      return data::read_npy(*bytes, options);
    case Format::npz:
      return data::read_npz_file(path, options);
    case Format::idx:
      return read_idx_pair(path, *bytes, options);
    case Format::text:
      break;
  }
  return data::read_csv(*bytes, options);
}

}  // namespace evenrow
