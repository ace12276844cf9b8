#include "data/npz.hpp"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fail.hpp"
#include "core/nearest.hpp"
#include "core/sizes.hpp"
#include "data/byte_source.hpp"
#include "data/columns.hpp"
#include "data/csv_layout.hpp"
#include "data/npy.hpp"
#include "data/targets.hpp"
#include "data/text.hpp"

namespace evenrow::data {
namespace {

struct DiscardArchive {
  void operator()(zip_t* archive) const noexcept { zip_discard(archive); }
};
struct CloseEntry {
  void operator()(zip_file_t* entry) const noexcept { zip_fclose(entry); }
};
using Archive = std::unique_ptr<zip_t, DiscardArchive>;

/// What one entry of an archive inflates to.
class EntrySource final : public ByteSource {
 public:
  EntrySource(zip_t* archive, std::string archive_name, std::int64_t archive_size,
              zip_uint64_t index, const std::string& entry_name)
      : ByteSource(std::move(archive_name) + ": " + entry_name), archive_(archive), index_(index) {
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat_index(archive_, index_, 0, &stat) != 0) fail(zip_get_error(archive_));
    if (stat.encryption_method != ZIP_EM_NONE ||
        (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE)) {
      core::fail(ErrorKind::data,
                 "{}: is encrypted or compressed by another method than deflate; save it with "
                 "numpy.savez or numpy.savez_compressed",
                 name());
    }
    const auto claimed = static_cast<std::int64_t>(
        std::min<zip_uint64_t>(stat.size, static_cast<zip_uint64_t>(INT64_MAX)));
    const auto packed = static_cast<std::int64_t>(
        std::min<zip_uint64_t>(stat.comp_size, static_cast<zip_uint64_t>(archive_size)));
    size_limit_ =
        std::min(claimed, core::checked_product(packed, kLargestInflation).value_or(INT64_MAX));
    open();
  }

  std::int64_t read(std::span<std::uint8_t> out) override {
    std::size_t filled = 0;
    while (filled < out.size()) {
      const zip_int64_t count = zip_fread(entry_.get(), out.data() + filled, out.size() - filled);
      if (count < 0) fail(zip_file_get_error(entry_.get()));
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    return static_cast<std::int64_t>(filled);
  }
  void rewind() override { open(); }
  std::int64_t size_limit() const override { return size_limit_; }
  std::optional<std::int64_t> exact_size() const override { return std::nullopt; }

 private:
  void open() {
    entry_.reset(zip_fopen_index(archive_, index_, 0));
    if (!entry_) fail(zip_get_error(archive_));
  }

  [[noreturn]] void fail(zip_error_t* error) const {
    core::fail(ErrorKind::data, "{}: corrupt npz file: {}; copy or download it again", name(),
               zip_error_strerror(error));
  }

  zip_t* archive_;
  zip_uint64_t index_;
  std::int64_t size_limit_ = 0;
  std::unique_ptr<zip_file_t, CloseEntry> entry_;
};

[[noreturn]] void fail_to_open(const std::string& name, zip_error_t& error) {
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  core::fail(ErrorKind::data, "{}: corrupt npz file: {}; copy or download it again", name, reason);
}

class NpzReader {
 public:
  /// Takes `source` (an owner's pointer, as libzip has it); `size` is the archive's.
  NpzReader(std::string name, std::int64_t size, zip_source_t* source, zip_error_t& error)
      : name_(std::move(name)), size_(size) {
    if (source == nullptr) fail_to_open(name_, error);
    archive_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
    if (!archive_) {
      zip_source_free(source);
      fail_to_open(name_, error);
    }
    zip_error_fini(&error);
    const zip_int64_t entries = zip_get_num_entries(archive_.get(), 0);
    for (zip_int64_t i = 0; i < entries; ++i) {
      const char* const entry = zip_get_name(archive_.get(), static_cast<zip_uint64_t>(i), 0);
      const std::string_view entry_name = entry == nullptr ? "" : entry;
      if (!entry_name.ends_with(".npy")) continue;
      arrays_.emplace_back(entry_name.substr(0, entry_name.size() - 4));
      indices_.push_back(static_cast<zip_uint64_t>(i));
    }
    if (arrays_.empty()) {
      core::fail(ErrorKind::data,
                 "{}: is a zip file, but holds no npy arrays; expected x and y, as "
                 "numpy.savez(file, x=features, y=labels) writes them",
                 name_);
    }
  }

  Dataset read(const ReadOptions& options) {
    const std::optional<std::size_t> target = find_target(options);
    const std::size_t features = find_features(target);
    NpyArray x = read_array(features);
    Dataset data{.source = name_, .rows = x.shape[0]};
    std::int64_t width = 1;  // a divisor of the element count: no overflow
    for (std::size_t axis = 1; axis < x.shape.size(); ++axis) width *= x.shape[axis];
    data.columns = feature_columns(name_, width, options);
    data.values = std::move(x.values);
    if (x.shape.size() == 3) {
      data.image_height = x.shape[1];
      data.image_width = x.shape[2];
    }
    if (target) {
      const NpyArray y = read_array(*target);
      const bool one_a_row =
          y.shape[0] == data.rows && std::all_of(y.shape.begin() + 1, y.shape.end(),
                                                 [](std::int64_t size) { return size == 1; });
      if (!one_a_row) {
        core::fail(ErrorKind::data,
                   "{}: expected one number in {} for each of the {} rows of {}, found shape ({})",
                   name_, shown(arrays_[*target]), data.rows, shown(arrays_[features]),
                   fmt::join(y.shape, ", "));
      }
      data.target = target_of_numbers(name_, arrays_[*target], as_doubles(y.values));
    }
    return data;
  }

 private:
  std::optional<std::size_t> find(std::string_view array) const {
    const auto at = std::find(arrays_.begin(), arrays_.end(), array);
    if (at == arrays_.end()) return std::nullopt;
    return static_cast<std::size_t>(at - arrays_.begin());
  }

  std::optional<std::size_t> find_target(const ReadOptions& options) const {
    std::optional<std::size_t> at = find(options.target.empty() ? "y" : options.target);
    if (!at && options.target.empty()) at = find("Y");
    if (!at && !options.expected) {
      const std::string wanted = options.target.empty() ? "y" : options.target;
      const std::vector<std::string_view> known(arrays_.begin(), arrays_.end());
      core::fail(ErrorKind::data, "{}: there is no target array {}{}; the arrays are {}", name_,
                 shown(wanted), core::did_you_mean(wanted, known), name_list(arrays_));
    }
    return at;
  }

  std::size_t find_features(std::optional<std::size_t> target) const {
    std::string like_target = target ? arrays_[*target] : "";
    if (like_target.starts_with('y')) like_target[0] = 'x';
    if (like_target.starts_with('Y')) like_target[0] = 'X';
    for (const std::string_view name :
         {std::string_view(like_target), std::string_view("x"), std::string_view("X")}) {
      const std::optional<std::size_t> at = find(name);
      if (at && at != target) return *at;
    }
    if (arrays_.size() == (target ? 2 : 1)) return target == std::size_t{0} ? 1 : 0;
    core::fail(ErrorKind::data,
               "{}: which array holds the features? Expected one named 'x'; the arrays are {}",
               name_, name_list(arrays_));
  }

  NpyArray read_array(std::size_t array) {
    EntrySource entry(archive_.get(), name_, size_, indices_[array], arrays_[array]);
    return read_npy_array(entry);
  }

  std::string name_;
  std::int64_t size_;
  Archive archive_;
  std::vector<std::string> arrays_;  // names without .npy
  std::vector<zip_uint64_t> indices_;
};

}  // namespace

Dataset read_npz_file(const std::filesystem::path& path, const ReadOptions& options) {
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path));
  zip_error_t error;
  zip_error_init(&error);
  return NpzReader(path.string(), size, zip_source_file_create(path.c_str(), 0, -1, &error), error)
      .read(options);
}

Dataset read_npz_memory(std::span<const std::uint8_t> bytes, const std::string& name,
                        const ReadOptions& options) {
  zip_error_t error;
  zip_error_init(&error);
  return NpzReader(name, static_cast<std::int64_t>(bytes.size()),
                   zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error), error)
      .read(options);
}

}  // namespace evenrow::data
