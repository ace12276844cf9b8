#include "data/csv_records.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/fail.hpp"

namespace evenrow::data {
namespace {

constexpr std::size_t kFirstBuffer = std::size_t{1} << 18;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::size_t find(std::string_view text, char c, std::size_t from) noexcept {
  const void* const at = std::memchr(text.data() + from, c, text.size() - from);
  return at == nullptr ? std::string_view::npos
                       : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

// Bit i where text[block + i] is the separator, or below '#', as line ends, the quote and zero are.
constexpr std::size_t kBlock = 64;
std::uint64_t marks(std::string_view text, std::size_t block, char separator) noexcept {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x80 * kOnes;
  std::array<std::uint64_t, kBlock / 8> words;
  if (text.size() - block >= kBlock) {
    std::memcpy(words.data(), text.data() + block, kBlock);
  } else {
    words.fill(~std::uint64_t{0});  // behind the end: nothing of interest
    std::memcpy(words.data(), text.data() + block, text.size() - block);
  }
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t bytes = words[i];
    const std::uint64_t other = bytes ^ (kOnes * static_cast<std::uint8_t>(separator));
    const std::uint64_t equal = ~((other & ~kHigh) + ~kHigh) & ~other;
    const std::uint64_t below = ~((bytes | kHigh) - kOnes * std::uint8_t{'#'}) & ~bytes;
    // The product moves the high bit of byte k to bit 56 + k.
    bits |= ((((equal | below) & kHigh) >> 7) * 0x0102040810204080) >> 56 << (8 * i);
  }
  return bits;
}

bool is_blank(char c, char separator) noexcept {
  return c == ' ' || (c == '\t' && c != separator);
}

/// [begin, end) without blanks at both ends.
FieldSpan trimmed(std::string_view text, std::size_t begin, std::size_t end,
                  char separator) noexcept {
  while (begin < end && is_blank(text[begin], separator)) ++begin;
  while (begin < end && is_blank(text[end - 1], separator)) --end;
  return {.begin = begin, .end = end};
}

/// A record that has a quote in its first line.
class QuotedRecord {
 public:
  QuotedRecord(std::string_view text, bool last, char separator, std::vector<FieldSpan>& fields)
      : text_(text), last_(last), separator_(separator), fields_(fields) {}

  RecordSpan split() {
    while (true) {
      skip_blanks();
      const bool whole = i_ < text_.size() && text_[i_] == '"' ? quoted_field() : unquoted_field();
      if (!whole) return stop_;
      // Here i_ is at a separator, at a line end, or at the end of the text.
      if (i_ < text_.size() && text_[i_] == separator_) {
        ++i_;
        continue;
      }
      if (i_ < text_.size() && text_[i_] == '\r') ++i_;
      if (i_ == text_.size() && !last_) return {.status = RecordStatus::incomplete};
      const std::size_t length = std::min(i_ + 1, text_.size());
      const std::size_t nul = find(text_.substr(0, length), '\0', 0);
      if (nul != std::string_view::npos) {
        return {.status = RecordStatus::nul, .length = length, .at = nul};
      }
      const auto end = text_.begin() + static_cast<std::ptrdiff_t>(length);
      return {.status = RecordStatus::complete,
              .length = length,
              .newlines = std::count(text_.begin(), end, '\n')};
    }
  }

 private:
  void skip_blanks() noexcept {
    while (i_ < text_.size() && is_blank(text_[i_], separator_)) ++i_;
  }

  bool stop(RecordStatus status, std::size_t at) noexcept {
    stop_ = {.status = status, .length = 0, .at = at};
    return false;
  }

  /// '\n', "\r\n", or the end of the last text, perhaps after '\r'.
  bool at_line_end() const noexcept {
    if (i_ == text_.size()) return true;
    if (text_[i_] == '\n') return true;
    return text_[i_] == '\r' && (i_ + 1 == text_.size() || text_[i_ + 1] == '\n');
  }

  bool quoted_field() {
    const std::size_t open = i_;
    bool has_escapes = false;
    std::size_t close = find(text_, '"', open + 1);
    while (close != std::string_view::npos && close + 1 < text_.size() && text_[close + 1] == '"') {
      has_escapes = true;
      close = find(text_, '"', close + 2);
    }
    if (close == std::string_view::npos) {
      return stop(last_ ? RecordStatus::open_quote : RecordStatus::incomplete, open);
    }
    fields_.push_back({.begin = open + 1, .end = close, .has_escapes = has_escapes});
    i_ = close + 1;
    skip_blanks();
    if (i_ < text_.size() && text_[i_] != separator_ && !at_line_end()) {
      return stop(text_[i_] == '\0' ? RecordStatus::nul : RecordStatus::text_after_quote, i_);
    }
    return true;
  }

  bool unquoted_field() {
    const std::size_t begin = i_;
    while (i_ < text_.size() && text_[i_] != separator_ && !at_line_end()) {
      if (text_[i_] == '\r') return stop(RecordStatus::carriage_return, i_);
      ++i_;
    }
    fields_.push_back(trimmed(text_, begin, i_, separator_));
    return true;
  }

  const std::string_view text_;
  const bool last_;
  const char separator_;
  std::vector<FieldSpan>& fields_;
  std::size_t i_ = 0;
  RecordSpan stop_;
};

}  // namespace

// One pass over the first line: fields end at separators, the record at the
// line end.
RecordSpan split_record(std::string_view text, bool last, char separator,
                        std::vector<FieldSpan>& fields) {
  constexpr std::size_t kNone = std::string_view::npos;
  fields.clear();
  std::size_t field = 0, nul = kNone, carriage_return = kNone, newline = kNone;
  for (std::size_t block = 0; block < text.size() && newline == kNone; block += kBlock) {
    for (std::uint64_t bits = marks(text, block, separator); bits != 0; bits &= bits - 1) {
      const std::size_t at = block + static_cast<std::size_t>(std::countr_zero(bits));
      const char c = text[at];
      if (c == separator) {
        fields.push_back(trimmed(text, field, at, separator));
        field = at + 1;
      } else if (c == '\n') {
        newline = at;
        break;
      } else if (c == '"') {
        fields.clear();
        return QuotedRecord(text, last, separator, fields).split();
      } else if (c == '\0') {
        nul = std::min(nul, at);
      } else if (c == '\r') {
        carriage_return = std::min(carriage_return, at);
      }
    }
  }
  if (newline == kNone && !last) {
    fields.clear();
    return {.status = RecordStatus::incomplete};
  }
  std::size_t end = std::min(newline, text.size());
  const std::size_t length = newline == kNone ? end : end + 1;
  if (end > 0 && text[end - 1] == '\r') --end;
  if (nul != kNone) return {.status = RecordStatus::nul, .length = length, .at = nul};
  if (carriage_return < end) {
    return {.status = RecordStatus::carriage_return, .length = length, .at = carriage_return};
  }
  fields.push_back(trimmed(text, field, end, separator));
  const bool blank = fields.size() == 1 && fields[0].begin == fields[0].end;
  return {.status = blank ? RecordStatus::blank : RecordStatus::complete,
          .length = length,
          .newlines = newline == kNone ? 0 : 1};
}

RecordReader::RecordReader(ByteSource& source)
    : source_(source),
      buffer_(kFieldMargin +
              std::min(kFirstBuffer, static_cast<std::size_t>(source.size_limit()) + 1)) {}

void RecordReader::fill() {
  std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
            buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin() + kFieldMargin);
  end_ -= begin_ - kFieldMargin;
  begin_ = kFieldMargin;
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  const std::span<std::uint8_t> room(reinterpret_cast<std::uint8_t*>(buffer_.data()) + end_,
                                     buffer_.size() - end_);
  const std::int64_t count = source_.read(room);
  end_ += static_cast<std::size_t>(count);
  at_end_ = count < static_cast<std::int64_t>(room.size());
  if (!started_ &&
      std::string_view(buffer_.data() + begin_, end_ - begin_).starts_with(kByteOrderMark)) {
    begin_ += kByteOrderMark.size();
  }
  started_ = true;
}

std::string_view RecordReader::buffered() {
  if (!started_) fill();
  return {buffer_.data() + begin_, end_ - begin_};
}

bool RecordReader::next(char separator, std::vector<std::string_view>& fields) {
  fields.clear();
  while (true) {
    const std::string_view text = buffered();
    if (text.empty() && at_end_) return false;
    const RecordSpan record = split_record(text, at_end_, separator, spans_);
    if (record.status == RecordStatus::incomplete) {
      fill();
      continue;
    }
    record_line_ = line_;
    if (record.status != RecordStatus::complete && record.status != RecordStatus::blank) {
      fail(record);
    }
    line_ += record.newlines;
    char* const base = buffer_.data() + begin_;
    begin_ += record.length;
    if (record.status == RecordStatus::blank) continue;
    for (const FieldSpan& span : spans_) {
      std::size_t length = span.end - span.begin;
      if (span.has_escapes) {  // "" becomes ", in place
        char* to = base + span.begin;
        for (std::size_t i = span.begin; i < span.end; ++i) {
          *to++ = base[i];
          if (base[i] == '"') ++i;
        }
        length = static_cast<std::size_t>(to - base) - span.begin;
      }
      fields.emplace_back(base + span.begin, length);
    }
    return true;
  }
}

void RecordReader::rewind() {
  source_.rewind();
  begin_ = end_ = kFieldMargin;
  started_ = at_end_ = false;
  line_ = 1;
}

void RecordReader::fail(const RecordSpan& record) const {
  const char* const text = buffer_.data() + begin_;
  const std::int64_t line = line_ + std::count(text, text + record.at, '\n');
  switch (record.status) {
    case RecordStatus::open_quote:
      core::fail(ErrorKind::data,
                 "{}: line {}: a quoted field begins here and never ends; expected a closing quote "
                 "before the end of the file (a quote inside a quoted field is written twice)",
                 source_.name(), line);
    case RecordStatus::text_after_quote:
      core::fail(ErrorKind::data,
                 "{}: line {}: expected a separator or the line end after the closing quote, found "
                 "more text (a quote inside a quoted field is written twice)",
                 source_.name(), line);
    case RecordStatus::carriage_return:
      core::fail(ErrorKind::data,
                 "{}: line {}: a carriage return in the middle of the line; expected lines that "
                 "end in LF or CRLF",
                 source_.name(), line);
    default:
      core::fail(ErrorKind::data,
                 "{}: line {}: a zero byte: this is no UTF-8 text (a binary file, or UTF-16); "
                 "convert it, for example with iconv",
                 source_.name(), line);
  }
}

}  // namespace evenrow::data
