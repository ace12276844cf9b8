#include "data/csv.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/fail.hpp"
#include "data/csv_builder.hpp"
#include "data/csv_layout.hpp"
#include "data/csv_records.hpp"

namespace evenrow::data {
namespace {

/// Records that tell whether there is a header and which columns hold words.
constexpr std::size_t kSampleRecords = 101;

void add_records(RecordReader& reader, char separator, const CsvLayout& layout,
                 const std::string& source, CsvBuilder& builder) {
  std::vector<std::string_view> fields;
  if (layout.has_header) reader.next(separator, fields);
  while (reader.next(separator, fields)) {
    if (static_cast<std::int64_t>(fields.size()) != layout.width) {
      core::fail(ErrorKind::data,
                 "{}: line {}: expected {} fields, as in the first line, found {}; is a field that "
                 "contains the separator not quoted?",
                 source, reader.line(), layout.width, fields.size());
    }
    builder.add(fields, reader.line());
  }
}

}  // namespace

Dataset read_csv(ByteSource& source, const ReadOptions& options) {
  RecordReader reader(source);
  const std::string_view beginning = reader.buffered();
  const char separator = detect_separator(beginning, reader.is_last());

  std::vector<std::vector<std::string>> sample;
  std::vector<std::string_view> fields;
  std::size_t sample_bytes = 0;
  while (sample.size() < kSampleRecords && reader.next(separator, fields)) {
    sample.emplace_back(fields.begin(), fields.end());
    for (const std::string_view field : fields) sample_bytes += field.size() + 1;
  }
  if (sample.empty()) {
    core::fail(ErrorKind::data, "{}: has no rows, only blank lines", source.name());
  }
  const CsvLayout layout = lay_out(source.name(), sample, options);
  if (layout.has_header && sample.size() == 1) {
    core::fail(ErrorKind::data, "{}: has a header but no rows below it", source.name());
  }

  CsvBuilder builder(source.name(), layout, sample);
  if (const std::optional<std::int64_t> size = source.exact_size()) {
    // A guess with a little to spare; memory that is reserved but never written costs nothing.
    // A record has a byte a field at least.
    const auto record = static_cast<std::int64_t>(sample_bytes / sample.size() + 1);
    builder.reserve(*size / std::max(record, layout.width) * 11 / 10);
  }
  reader.rewind();
  add_records(reader, separator, layout, source.name(), builder);
  if (builder.needs_second_pass()) {
    builder.begin_second_pass();
    reader.rewind();
    add_records(reader, separator, layout, source.name(), builder);
  }
  return builder.take();
}

}  // namespace evenrow::data
