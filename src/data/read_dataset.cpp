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
#include "data/idx.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow {
namespace {

namespace fs = std::filesystem;

Dataset read_fashion_mnist(const std::string& word) {
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
  Dataset dataset = data::read_idx(*image_source, label_source.get());
  dataset.source = word;
  return dataset;
}

Dataset read_idx_pair(const fs::path& path, data::ByteSource& images, const ReadOptions& options) {
  const std::vector<fs::path> candidates = data::label_paths(path);
  for (const fs::path& labels : candidates) {
    std::error_code error;
    if (fs::exists(labels, error)) return data::read_idx(images, data::open_file(labels).get());
  }
  Dataset dataset = data::read_idx(images, nullptr);
  if (!options.expected) {
    core::fail(ErrorKind::io, "{}: its labels are missing: {}", path.string(),
               candidates.empty()
                   ? "the file should be named NAME-images-idx3-ubyte, and the one of the labels "
                     "NAME-labels-idx1-ubyte"
                   : fmt::format("there is no {}, gzipped or not", candidates[0].string()));
  }
  return dataset;
}

}  // namespace

Dataset read_dataset(const std::string& source, const ReadOptions& options) {
  if (source == "fashion-mnist" || source.starts_with("fashion-mnist:")) {
    return read_fashion_mnist(source);
  }
  const fs::path path(source);
  const auto bytes = data::open_file(path);
  return read_idx_pair(path, *bytes, options);
}

}  // namespace evenrow
