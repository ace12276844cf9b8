// CSV, TSV and TXT files.
#pragma once

#include "data/byte_source.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow::data {

/// A data set from text, see read_dataset(). A column is numeric when every value present in it is
/// a number, and categorical otherwise, its categories being the texts as they are written. An
/// infinite number ("inf", "1e400") in a numeric column is an error; one too small for a double is
/// 0. One pass; a second one when a column that began with numbers turns out to be categorical.
/// Errors (data), with the line: see read_dataset(), and what is no text.
Dataset read_csv(ByteSource& source, const ReadOptions& options);

}  // namespace evenrow::data
