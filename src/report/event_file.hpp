// TensorBoard's event files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace evenrow::report {

/// Counts of values in neighbouring intervals: counts[i] of them are at most limits[i] and above
/// the limit before, or above `smallest`.
struct Histogram {
  double smallest = 0, largest = 0;
  double count = 0, sum = 0, sum_of_squares = 0;
  std::vector<double> limits, counts;
};

/// Whether `folder` has an event file in it; false where there is no such folder.
bool has_event_files(const std::filesystem::path& folder);

/// A new event file in a folder. TensorBoard reads all event files of a folder, by their names, as
/// one run; this one's name comes after those that are there. It begins with the first step that it
/// will tell of: what older files say of that step and later ones is forgotten, so that a run that
/// is resumed from a checkpoint has no step twice.
///
/// What is added waits in memory for flush(). Not thread-safe. Errors (io): names the path and the
/// system's reason.
///
/// The format: records framed as TensorFlow's record_writer.h has them (length, masked CRC-32C of
/// it, data, masked CRC-32C of that), each one Event message of event.proto and summary.proto in
/// the wire format of Protocol Buffers.
class EventFile {
 public:
  /// Makes the folder where it is not there.
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// `tag`: the chart; what stands before a '/' groups charts. TensorBoard keeps a value as float.
  void add_scalar(std::string_view tag, std::int64_t step, double value);
  void add_histogram(std::string_view tag, std::int64_t step, const Histogram& histogram);
  void flush();

 private:
  void add_event(std::int64_t step, std::string_view what);
  [[noreturn]] void refuse(std::string_view operation, int error) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string pending_;
};

/// CRC-32C (Castagnoli polynomial, reflected 0x82F63B78; RFC 3720, appendix B.4).
std::uint32_t crc32c(std::string_view bytes) noexcept;

}  // namespace evenrow::report
