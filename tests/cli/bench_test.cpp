// evenrow bench: that it measures, and says what; never how fast.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "cli/program.hpp"
#include "report/text.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;

TEST(Bench, MeasuresLimitsOperatorStepAndInference) {
  const Workplace place;
  const Outcome outcome =
      place.run({"bench", "--seconds", "0.01", "--threads", "2", "--json", "bench.json"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("GB/s"));
  EXPECT_THAT(outcome.out, HasSubstr("GFLOP/s"));
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(report::display_width(line), 80) << line;
  }
  const auto json = nlohmann::json::parse(place.read("bench.json"));
  EXPECT_EQ(json.at("threads"), 2);
  EXPECT_GT(json.at("copy_gb_s"), 0);
  EXPECT_GT(json.at("products_gflop_s"), 0);
  ASSERT_EQ(json.at("operator").size(), 3u);
  for (const auto& row : json.at("operator")) {
    for (const char* key : {"copy_s", "forward_s", "backward_s", "infer_s"}) {
      EXPECT_GT(row.at(key), 0) << key;
    }
  }
  ASSERT_EQ(json.at("step").size(), 3u);
  for (const auto& row : json.at("step")) {
    for (const char* key : {"batch_norm_s", "none_s", "products_s"}) {
      EXPECT_GT(row.at(key), 0) << key;
    }
  }
  EXPECT_GT(json.at("inference").at("one_s"), 0);
}

}  // namespace
}  // namespace evenrow::test
