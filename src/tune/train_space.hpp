// The options of training as the parameters of a search.
#pragma once

#include <set>
#include <string>

#include "evenrow/train.hpp"
#include "evenrow/tune.hpp"

namespace evenrow::tuning {

/// What is searched when nothing is said, as a space file.
extern const char* const kDefaultSpace;

/// A space file: TOML, a table for each option of training that is searched, named by its key:
///   [lr]                    [optimizer]                     [hidden]
///   low = 1e-4              values = ["adam", "momentum"]   depth = [1, 4]
///   high = 1.0                                              units = [32, 512]
///   scale = "log"
/// Without `scale`, rates and sizes are searched in log, decays (momentum, beta1, beta2, rho) in
/// one_minus_log, the rest linearly. `hidden` gives the parameters hidden.depth, hidden.1,
/// hidden.2, ...; a layer's units count where there are so many layers. Options of an optimizer or
/// a norm count where it was chosen. `without`: keys that are left out. Errors (usage) name the
/// line and the nearest known key.
Space training_space(const std::string& toml, const std::string& source,
                     const std::set<std::string>& without = {});

/// `base` with the parameters of a trial.
TrainOptions options_of(const TrainOptions& base, const TrialParameters& parameters);

}  // namespace evenrow::tuning
