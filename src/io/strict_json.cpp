#include "io/strict_json.hpp"

#include <string>
#include <unordered_set>
#include <vector>

#include "core/fail.hpp"

namespace evenrow::io {
namespace {

// "[json.exception.parse_error.101] parse error at ...: ...; last read: '...'": without the name
// of the exception, and short, because the last token can be as long as the file.
std::string reason(const nlohmann::json::exception& error) {
  std::string text = error.what();
  if (const std::size_t name_end = text.find("] "); name_end != std::string::npos) {
    text.erase(0, name_end + 2);
  }
  constexpr std::size_t kLongest = 200;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, std::string_view where) {
  // The parser would take a NUL for the end of the text and ignore what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    core::fail(ErrorKind::data, "{}: invalid JSON: byte {} is NUL", where, nul);
  }
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  const auto see = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        core::fail(ErrorKind::data, "{}: the key {:?} stands twice in one JSON object", where,
                   std::string_view(key).substr(0, 200));
      }
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, see);
  } catch (const nlohmann::json::exception& error) {
    core::fail(ErrorKind::data, "{}: invalid JSON: {}", where, reason(error));
  }
}

}  // namespace evenrow::io
