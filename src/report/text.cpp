#include "report/text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace evenrow::report {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

// Decodes the UTF-8 character at `at`; overlong forms, surrogates and cut-off ones are not valid.
Character decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + bytes > text.size()) return {};
  char32_t code = lead & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(at + i) & 0x3Fu);
  }
  constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
  if (code < smallest[bytes] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return {};
  return {code, bytes, true};
}

struct Interval {
  char32_t first, last;
};

template <std::size_t N>
bool within(const std::array<Interval, N>& intervals, char32_t code) {
  return std::any_of(intervals.begin(), intervals.end(), [&](const Interval& interval) {
    return code >= interval.first && code <= interval.last;
  });
}

// C0, DEL, C1; line and paragraph separators; marks that reorder text.
bool is_control(char32_t code) {
  constexpr std::array<Interval, 5> controls{
      {{0, 0x1F}, {0x7F, 0x9F}, {0x2028, 0x2029}, {0x202A, 0x202E}, {0x2066, 0x2069}}};
  return within(controls, code);
}

// The large blocks of the Unicode tables EastAsianWidth and of the combining marks.
std::int64_t width_of(char32_t code) {
  constexpr std::array<Interval, 5> combining{
      {{0x300, 0x36F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}}};
  constexpr std::array<Interval, 9> wide{{{0x1100, 0x115F},
                                          {0x2E80, 0xA4CF},
                                          {0xAC00, 0xD7A3},
                                          {0xF900, 0xFAFF},
                                          {0xFE30, 0xFE6F},
                                          {0xFF00, 0xFF60},
                                          {0xFFE0, 0xFFE6},
                                          {0x1F300, 0x1FAFF},
                                          {0x20000, 0x3FFFD}}};
  if (within(combining, code)) return 0;
  return within(wide, code) ? 2 : 1;
}

}  // namespace

std::int64_t display_width(std::string_view text) {
  std::int64_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Character character = decode(text, at);
    width += character.valid ? width_of(character.code) : 1;
    at += character.bytes;
  }
  return width;
}

std::string printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Character character = decode(text, at);
    if (character.valid && !is_control(character.code)) {
      safe += text.substr(at, character.bytes);
    } else {
      safe += '?';
    }
    at += character.bytes;
  }
  return safe;
}

std::string shortened(std::string_view text, std::int64_t width) {
  const std::string safe = printable(text);
  if (display_width(safe) <= width) return safe;
  std::size_t end = 0;
  std::int64_t used = 0;
  while (end < safe.size()) {
    const Character character = decode(safe, end);
    const std::int64_t wider = used + width_of(character.code);
    if (wider > width - 1) break;
    used = wider;
    end += character.bytes;
  }
  return width < 1 ? std::string() : safe.substr(0, end) + "~";
}

std::string wrapped(std::string_view text, std::int64_t width, std::int64_t indent) {
  const std::string blanks(static_cast<std::size_t>(std::max<std::int64_t>(indent, 0)), ' ');
  std::string lines;
  std::int64_t used = 0;
  bool begun = false;  // the line has a word, if only of marks without a width
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const std::int64_t wide = display_width(word);
    if (!word.empty() && begun && used + 1 + wide > width) {
      lines += "\n" + blanks;
      used = 0;
      begun = false;
    }
    if (!word.empty()) {
      if (begun) lines += ' ';
      lines += word;
      used += wide + (begun ? 1 : 0);
      begun = true;
    }
    if (end < text.size() && text[end] == '\n') {
      lines += "\n" + blanks;
      used = 0;
      begun = false;
    }
    at = end + 1;
  }
  return lines;
}

}  // namespace evenrow::report
