// Names of enumerators, as files, options and messages spell them: one table an enumeration, in a
// `names.hpp` of the room that owns it.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "core/fail.hpp"

namespace evenrow::core {

template <class E>
struct NamedValue {
  E value;
  std::string_view name;
};

/// Specialised for every enumeration that has names:
///   static constexpr std::string_view kind;  // what it is, for messages: "activation"
///   static constexpr std::array<NamedValue<E>, N> table;  // in the order of declaration
template <class E>
struct EnumNames;

/// The name of `value`. Errors (usage): a value that is no enumerator.
template <class E>
constexpr std::string_view name_of(E value) {
  for (const NamedValue<E>& entry : EnumNames<E>::table) {
    if (entry.value == value) return entry.name;
  }
  fail(ErrorKind::usage, "{}: {} is not one of its values", EnumNames<E>::kind,
       static_cast<long long>(value));
}

/// The enumerator of this name (exactly spelled), or nothing.
template <class E>
constexpr std::optional<E> parse_name(std::string_view name) {
  for (const NamedValue<E>& entry : EnumNames<E>::table) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

/// All names, in the order of declaration.
template <class E>
constexpr auto names() {
  std::array<std::string_view, EnumNames<E>::table.size()> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = EnumNames<E>::table[i].name;
  return all;
}

/// All names in one line, for messages and help: "none, relu, tanh".
template <class E>
std::string joined_names(std::string_view separator = ", ") {
  std::string text;
  for (const NamedValue<E>& entry : EnumNames<E>::table) {
    if (!text.empty()) text += separator;
    text += entry.name;
  }
  return text;
}

}  // namespace evenrow::core
