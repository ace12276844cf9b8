// A space and a data set that are small, for several tests of the search.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "evenrow/study.hpp"
#include "support/temporary_folder.hpp"

namespace evenrow {

/// A parameter of every kind; their names are those of tests/python/optuna_peer.py.
inline Space small_space(double least_beta2) {
  return {{.name = "lr", .low = 1e-4, .high = 1, .scale = Scale::log},
          {.name = "units", .type = ParameterType::integer, .low = 8, .high = 64},
          {.name = "norm", .type = ParameterType::categorical, .choices = {"none", "batch"}},
          {.name = "beta2",
           .low = least_beta2,
           .high = 0.9999,
           .scale = Scale::one_minus_log,
           .condition = Condition{"norm", {"batch"}}}};
}

/// 150 rows of 3 classes that a small network tells apart, mostly; gives the file's path.
inline std::string write_classes(const TemporaryFolder& folder) {
  std::string text = "a,b,class\n";
  for (int i = 0; i < 150; ++i) {
    const double noise = std::sin(i * 12.9898) * 1.2;
    text += std::to_string(i % 3 + noise) + "," + std::to_string(i % 3 - noise * noise) + "," +
            "xyz"[i % 3] + "\n";
  }
  return folder.write("classes.csv", text);
}

/// Everything about the trials is the same.
inline void expect_same_trials(const Study& a, const Study& b) {
  ASSERT_EQ(a.trials.size(), b.trials.size());
  for (std::size_t i = 0; i < a.trials.size(); ++i) {
    EXPECT_EQ(a.trials[i].number, b.trials[i].number) << i;
    EXPECT_EQ(a.trials[i].parameters, b.trials[i].parameters) << i;
    EXPECT_EQ(a.trials[i].intermediate, b.trials[i].intermediate) << i;
    EXPECT_EQ(a.trials[i].state, b.trials[i].state) << i;
    EXPECT_EQ(a.trials[i].value, b.trials[i].value) << i;
  }
}

}  // namespace evenrow
