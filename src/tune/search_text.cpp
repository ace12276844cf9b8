#include "tune/search_text.hpp"

#include <algorithm>

#include "core/fail.hpp"
#include "tune/names.hpp"
#include "tune/space.hpp"

namespace evenrow::tuning {

std::string search_text(const Space& space, const TuneOptions& o) {
  std::string text =
      fmt::format("search = {}\npruner = {}\ndirection = {}\nseed = {}\n", core::name_of(o.search),
                  core::name_of(o.pruner), core::name_of(o.direction), o.seed);
  if (o.search == Search::tpe || o.pruner == Pruner::asha) {
    text += fmt::format("lag = {}\n", o.lag);
  }
  if (o.pruner == Pruner::asha) {
    text += fmt::format("eta = {}\nfirst_rung = {}\n", o.eta, o.first_rung);
  }
  for (const Parameter& parameter : space) text += description(parameter) + "\n";
  text += o.context;
  if (text.back() != '\n') text += '\n';
  if (o.pruner == Pruner::asha && o.last_step > 0)
    text += fmt::format("last_step = {}\n", o.last_step);
  return text;
}

bool is_one_minus_log(std::string_view text, const std::string& parameter) {
  const std::string line =
      fmt::format("\n{} = {} {} ", parameter, core::name_of(ParameterType::real),
                  core::name_of(Scale::one_minus_log));
  return text.find(line) != std::string_view::npos;
}

std::string first_difference(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    const std::string_view line_a = a.substr(0, a.find('\n')), line_b = b.substr(0, b.find('\n'));
    if (line_a != line_b) return fmt::format("it has \"{}\", and now it is \"{}\"", line_a, line_b);
    a.remove_prefix(std::min(a.size(), line_a.size() + 1));
    b.remove_prefix(std::min(b.size(), line_b.size() + 1));
  }
  return {};
}

}  // namespace evenrow::tuning
