// Text cut into records and fields: RFC 4180, with LF or CRLF at the line ends.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/byte_source.hpp"
#include "data/csv_fields.hpp"

namespace evenrow::data {

/// Where a field lies in a text, quotes and the blanks around them left out.
struct FieldSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool has_escapes = false;  ///< Contains "" for ".
};

enum class RecordStatus {
  complete,
  blank,             ///< A line of blanks only.
  incomplete,        ///< The text ends before the record does.
  open_quote,        ///< The last text ends inside quotes; `at` is where they open.
  text_after_quote,  ///< Something other than a separator follows closing quotes, at `at`.
  carriage_return,   ///< One that ends no line, at `at`.
  nul,               ///< A zero byte, at `at`.
};

struct RecordSpan {
  RecordStatus status = RecordStatus::incomplete;
  std::size_t length = 0;     ///< Bytes, the line end included.
  std::size_t at = 0;         ///< Where it went wrong.
  std::int64_t newlines = 0;  ///< In a complete or blank record.
};

/// Splits the record at the front of `text`. Blanks around a field are not part of it; a field that
/// begins with a quote ends with one, and holds separators, line ends and "" for a quote; quotes
/// elsewhere stand for themselves. `last`: nothing follows `text` in its file.
RecordSpan split_record(std::string_view text, bool last, char separator,
                        std::vector<FieldSpan>& fields);

/// The records of a source one after the other, in a buffer that grows only when a record needs it.
class RecordReader {
 public:
  explicit RecordReader(ByteSource& source);

  /// The next record that is not blank; false at the end. The fields are valid until the next
  /// call, and so are the kFieldMargin bytes before each. Fails (data) with the line on what
  /// split_record() refuses.
  bool next(char separator, std::vector<std::string_view>& fields);

  /// Line, counted from 1, where the record of the last call to next() begins.
  std::int64_t line() const noexcept { return record_line_; }

  /// What is in the buffer, not yet read; the whole rest of the text when `is_last()`.
  std::string_view buffered();
  bool is_last() const noexcept { return at_end_; }

  void rewind();

 private:
  void fill();
  [[noreturn]] void fail(const RecordSpan& record) const;

  ByteSource& source_;
  std::vector<char> buffer_;
  std::size_t begin_ = kFieldMargin, end_ = kFieldMargin;  // of what is not yet read
  bool started_ = false, at_end_ = false;
  std::int64_t line_ = 1, record_line_ = 0;
  std::vector<FieldSpan> spans_;
};

}  // namespace evenrow::data
