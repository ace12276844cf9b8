// What runs are called on a page.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "report/sections.hpp"

namespace evenrow::report {
namespace {

constexpr std::size_t kMostKeys = 3;  // in a label

// What does not change a model, or is said by another key.
constexpr std::array<std::string_view, 3> kUntold{"threads", "observe", "test"};

std::string value_of(const RunData& run, const std::string& key) {
  for (const auto& [name, value] : run.config) {
    if (name == key) return value;
  }
  return "";
}

std::vector<std::string> differing_keys(const std::vector<RunData>& runs) {
  std::vector<std::string> keys;
  for (const RunData& run : runs) {
    for (const auto& option : run.config) {
      const std::string &key = option.first, &value = option.second;
      const bool told = std::ranges::find(kUntold, key) == kUntold.end() &&
                        std::ranges::find(keys, key) == keys.end();
      const bool differs = std::ranges::any_of(
          runs, [&](const RunData& other) { return value_of(other, key) != value; });
      if (told && differs) keys.push_back(key);
    }
  }
  // Batch norm is what this is about: first.
  std::stable_partition(keys.begin(), keys.end(),
                        [](const std::string& key) { return key == "norm"; });
  return keys;
}

std::string part(const std::string& key, const std::string& value) {
  if (key == "norm" && value == "batch") return "with batch norm";
  if (key == "norm" && value == "none") return "without batch norm";
  if (key == "norm") return "with norm " + value;
  std::string name = key;
  std::ranges::replace(name, '_', ' ');
  if (key == "data") return value.substr(value.find_last_of('/') + 1);
  return name + " " + value;
}

std::string last_name(const std::string& folder) {
  return folder.substr(folder.find_last_of('/') + 1);
}

}  // namespace

std::string phrase(std::string_view label) {
  return label.starts_with("with") ? std::string(label) : fmt::format("for {}", label);
}

void label_runs(std::vector<RunData>& runs) {
  const std::vector<std::string> keys = differing_keys(runs);
  std::map<std::string, int> seen;
  for (RunData& run : runs) {
    run.label.clear();
    for (std::size_t k = 0; k < std::min(keys.size(), kMostKeys); ++k) {
      run.label += (k > 0 ? ", " : "") + part(keys[k], value_of(run, keys[k]));
    }
    if (run.label.empty()) run.label = last_name(run.folder);
    ++seen[run.label];
  }
  for (RunData& run : runs) {
    if (seen[run.label] > 1 && run.label != last_name(run.folder)) {
      run.label += fmt::format(" ({})", last_name(run.folder));
    }
  }
  seen.clear();
  for (RunData& run : runs) {
    if (++seen[run.label] > 1) run.label += fmt::format(" #{}", seen[run.label]);
  }
  // Colour 0 is the first run with batch norm, 1 the first without; the others follow.
  int next = 2;
  bool with = false, without = false;
  for (RunData& run : runs) {
    bool& taken = run.batch_norm ? with : without;
    run.colour = taken ? next++ : run.batch_norm ? 0 : 1;
    taken = true;
  }
}

}  // namespace evenrow::report
