// Data sets, networks and evaluations in words and tables: what several verbs show.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evenrow/evaluate.hpp"
#include "evenrow/train.hpp"

namespace evenrow::cli {

/// "784-256-128-10".
std::string network_text(const NetworkSpec& network);

/// What the hidden blocks are made of: "batch norm before relu, dropout 0.1".
std::string blocks_text(const TrainOptions& options);

/// "a, b, c", ended by "..." after as many as fit `width` columns, at least one.
std::string list_text(const std::vector<std::string>& names, std::int64_t width);

/// A table of evaluations, a line each: rows, loss, accuracy or RMSE, MAE and R2. Empty ones are
/// left out.
std::string evaluation_table(
    const std::vector<std::pair<std::string_view, const std::optional<Evaluation>*>>& parts,
    Task task);

}  // namespace evenrow::cli
