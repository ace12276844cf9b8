// The header of an npy file: a Python dictionary with three keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/elements.hpp"

namespace evenrow::data {

struct NpyHeader {
  ElementType type;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }", blanks and a line end after it.
/// Fails (data) on anything else; `source` is for the message.
NpyHeader parse_npy_header(const std::string& source, std::string_view text);

}  // namespace evenrow::data
