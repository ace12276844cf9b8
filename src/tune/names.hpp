// Names of the enumerations of comparisons and searches.
#pragma once

#include "core/names.hpp"
#include "evenrow/compare.hpp"
#include "evenrow/tune.hpp"
#include "tune/train_search.hpp"

namespace evenrow::core {

template <>
struct EnumNames<Vary> {
  static constexpr std::string_view kind = "varied option";
  static constexpr std::array<NamedValue<Vary>, 6> table{{
      {Vary::learning_rate, "lr"},
      {Vary::depth, "depth"},
      {Vary::batch_size, "batch-size"},
      {Vary::init_scale, "init-scale"},
      {Vary::input_scale, "input-scale"},
      {Vary::seed, "seed"},
  }};
};

template <>
struct EnumNames<ParameterType> {
  static constexpr std::string_view kind = "type of parameter";
  static constexpr std::array<NamedValue<ParameterType>, 3> table{{
      {ParameterType::real, "real"},
      {ParameterType::integer, "integer"},
      {ParameterType::categorical, "categorical"},
  }};
};

template <>
struct EnumNames<Scale> {
  static constexpr std::string_view kind = "scale";
  static constexpr std::array<NamedValue<Scale>, 3> table{{
      {Scale::linear, "linear"},
      {Scale::log, "log"},
      {Scale::one_minus_log, "one_minus_log"},
  }};
};

template <>
struct EnumNames<TrialState> {
  static constexpr std::string_view kind = "state of a trial";
  static constexpr std::array<NamedValue<TrialState>, 5> table{{
      {TrialState::running, "running"},
      {TrialState::complete, "complete"},
      {TrialState::pruned, "pruned"},
      {TrialState::failed, "failed"},
      {TrialState::waiting, "waiting"},
  }};
};

template <>
struct EnumNames<Direction> {
  static constexpr std::string_view kind = "direction";
  static constexpr std::array<NamedValue<Direction>, 2> table{{
      {Direction::minimize, "minimize"},
      {Direction::maximize, "maximize"},
  }};
};

template <>
struct EnumNames<Search> {
  static constexpr std::string_view kind = "search";
  static constexpr std::array<NamedValue<Search>, 3> table{{
      {Search::random, "random"},
      {Search::sobol, "sobol"},
      {Search::tpe, "tpe"},
  }};
};

template <>
struct EnumNames<Pruner> {
  static constexpr std::string_view kind = "pruner";
  static constexpr std::array<NamedValue<Pruner>, 2> table{{
      {Pruner::none, "none"},
      {Pruner::asha, "asha"},
  }};
};

template <>
struct EnumNames<tuning::Metric> {
  static constexpr std::string_view kind = "metric";
  static constexpr std::array<NamedValue<tuning::Metric>, 5> table{{
      {tuning::Metric::accuracy, "accuracy"},
      {tuning::Metric::loss, "loss"},
      {tuning::Metric::rmse, "rmse"},
      {tuning::Metric::mae, "mae"},
      {tuning::Metric::r2, "r2"},
  }};
};

}  // namespace evenrow::core
