#include "report/event_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <system_error>

#include "core/fail.hpp"
#include "report/terminal.hpp"

namespace evenrow::report {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}();

// A CRC of data that holds CRCs is a poor one; so stored ones are masked (TensorFlow's crc32c.h).
std::uint32_t masked_crc32c(std::string_view bytes) noexcept {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u;
}

template <class Unsigned>
void append_little_endian(std::string& to, Unsigned value) {
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
    to += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  }
}

// Protocol Buffers, wire format: a field is its number and type, then the value.
enum class Wire : std::uint32_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void append_varint(std::string& to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>((value & 0x7F) | 0x80);
  to += static_cast<char>(value);
}
void append_key(std::string& to, std::uint32_t field, Wire wire) {
  append_varint(to, field << 3 | static_cast<std::uint32_t>(wire));
}
void append_integer(std::string& to, std::uint32_t field, std::int64_t value) {
  append_key(to, field, Wire::varint);
  append_varint(to, static_cast<std::uint64_t>(value));
}
void append_double(std::string& to, std::uint32_t field, double value) {
  append_key(to, field, Wire::fixed64);
  append_little_endian(to, std::bit_cast<std::uint64_t>(value));
}
void append_float(std::string& to, std::uint32_t field, float value) {
  append_key(to, field, Wire::fixed32);
  append_little_endian(to, std::bit_cast<std::uint32_t>(value));
}
void append_bytes(std::string& to, std::uint32_t field, std::string_view bytes) {
  append_key(to, field, Wire::bytes);
  append_varint(to, bytes.size());
  to += bytes;
}
void append_packed(std::string& to, std::uint32_t field, std::span<const double> values) {
  std::string packed;
  for (const double value : values)
    append_little_endian(packed, std::bit_cast<std::uint64_t>(value));
  append_bytes(to, field, packed);
}

// Numbers of the fields used, by message.
namespace event {
constexpr std::uint32_t wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7;
}
namespace session_log {
constexpr std::uint32_t status = 1;
constexpr std::int64_t start = 1;
}  // namespace session_log
namespace summary {
constexpr std::uint32_t value = 1, tag = 1, simple_value = 2, histogram = 5;
}
namespace histogram_proto {
constexpr std::uint32_t smallest = 1, largest = 2, count = 3, sum = 4, sum_of_squares = 5,
                        limits = 6, counts = 7;
}

std::string message(std::uint32_t field, std::string_view bytes) {
  std::string text;
  append_bytes(text, field, bytes);
  return text;
}

// A Summary with one Value, as a field of an Event.
std::string summary_of(std::string_view tag, std::string_view value) {
  return message(event::summary,
                 message(summary::value, message(summary::tag, tag) + std::string(value)));
}

std::int64_t count_event_files(const fs::path& folder) {
  std::int64_t count = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().find("tfevents") != std::string::npos) ++count;
  }
  return count;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) noexcept {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  }
  return ~crc;
}

bool has_event_files(const fs::path& folder) {
  return count_event_files(folder) > 0;
}

EventFile::EventFile(const fs::path& folder, std::int64_t first_step) : path_(folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) refuse("make the folder", error.value());
  // Files of the same second are told apart, and put in order, by how many there were before.
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const std::int64_t before = count_event_files(folder);
  path_ = folder / fmt::format("events.out.tfevents.{:010}.{:06}.evenrow", seconds.count(), before);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) refuse("make the file", errno);
  add_event(0, message(event::file_version, "brain.Event:2"));
  std::string started;
  append_integer(started, session_log::status, session_log::start);
  add_event(first_step, message(event::session_log, started));
}

EventFile::~EventFile() {
  write_text(descriptor_, pending_);
  ::close(descriptor_);
}

void EventFile::add_scalar(std::string_view tag, std::int64_t step, double value) {
  std::string encoded;
  append_float(encoded, summary::simple_value, static_cast<float>(value));
  add_event(step, summary_of(tag, encoded));
}

void EventFile::add_histogram(std::string_view tag, std::int64_t step, const Histogram& histogram) {
  std::string encoded;
  append_double(encoded, histogram_proto::smallest, histogram.smallest);
  append_double(encoded, histogram_proto::largest, histogram.largest);
  append_double(encoded, histogram_proto::count, histogram.count);
  append_double(encoded, histogram_proto::sum, histogram.sum);
  append_double(encoded, histogram_proto::sum_of_squares, histogram.sum_of_squares);
  append_packed(encoded, histogram_proto::limits, histogram.limits);
  append_packed(encoded, histogram_proto::counts, histogram.counts);
  add_event(step, summary_of(tag, message(summary::histogram, encoded)));
}

void EventFile::add_event(std::int64_t step, std::string_view what) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::string data;
  append_double(data, event::wall_time, now.count());
  append_integer(data, event::step, step);
  data += what;
  std::string length;
  append_little_endian(length, std::uint64_t{data.size()});
  pending_ += length;
  append_little_endian(pending_, masked_crc32c(length));
  pending_ += data;
  append_little_endian(pending_, masked_crc32c(data));
}

void EventFile::flush() {
  if (!write_text(descriptor_, pending_)) refuse("write", errno);
  pending_.clear();
}

void EventFile::refuse(std::string_view operation, int error) const {
  core::fail(ErrorKind::io, "{}: cannot {}: {}", path_.string(), operation, std::strerror(error));
}

}  // namespace evenrow::report
