// Random, Sobol and TPE search on functions whose optimum is known, and with learning curves that
// may be cut off: median regret over seeds. Deterministic: no time is measured.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include "evenrow/tune.hpp"

namespace {

using namespace evenrow;

constexpr int kSeeds = 20;

// Dixon and Szegoe, 1978. Minimum 0.397887.
double branin(double x, double y) {
  constexpr double kPi = std::numbers::pi;
  const double a = y - 5.1 / (4 * kPi * kPi) * x * x + 5 / kPi * x - 6;
  return a * a + 10 * (1 - 1 / (8 * kPi)) * std::cos(x) + 10;
}
constexpr double kBranin = 0.397887357729738;

// Minimum -3.32237.
double hartmann6(const std::vector<double>& x) {
  constexpr double kAlpha[4]{1.0, 1.2, 3.0, 3.2};
  constexpr double kA[4][6]{{10, 3, 17, 3.5, 1.7, 8},
                            {0.05, 10, 17, 0.1, 8, 14},
                            {3, 3.5, 1.7, 10, 17, 8},
                            {17, 8, 0.05, 10, 0.1, 14}};
  constexpr double kP[4][6]{{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
                            {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
                            {0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650},
                            {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}};
  double sum = 0;
  for (int i = 0; i < 4; ++i) {
    double inner = 0;
    for (int j = 0; j < 6; ++j) {
      inner += kA[i][j] * (x[static_cast<std::size_t>(j)] - kP[i][j]) *
               (x[static_cast<std::size_t>(j)] - kP[i][j]);
    }
    sum -= kAlpha[i] * std::exp(-inner);
  }
  return sum;
}
constexpr double kHartmann6 = -3.32236801141551;

const Space kBraninSpace{{.name = "x", .low = -5, .high = 10}, {.name = "y", .low = 0, .high = 15}};

Space hartmann_space() {
  Space space;
  for (int i = 0; i < 6; ++i) space.push_back({.name = fmt::format("x{}", i)});
  return space;
}

std::vector<double> all_values(const RunningTrial& trial) {
  std::vector<double> values;
  for (const auto& value : trial.values()) values.push_back(*value);
  return values;
}

// A loss that falls as a power of the epoch, to a height and at a rate that depend on a learning
// rate, a decay and a choice; 27 epochs. Minimum 0.
constexpr int kEpochs = 27;
const Space kCurveSpace{
    {.name = "lr", .low = 1e-5, .high = 1, .scale = Scale::log},
    {.name = "decay", .low = 1e-6, .high = 1e-1, .scale = Scale::log},
    {.name = "momentum", .low = 0.5, .high = 0.999, .scale = Scale::one_minus_log},
    {.name = "norm", .type = ParameterType::categorical, .choices = {"none", "batch"}}};

double curve(RunningTrial& trial, std::int64_t& epochs) {
  const double lr = std::log10(trial.real("lr")) + 2.0;
  const double decay = std::log10(trial.real("decay")) + 4.0;
  const double momentum = std::log10(1 - trial.real("momentum")) + 1.0;
  const bool batch = trial.choice("norm") == "batch";
  const double end = 0.1 * lr * lr + 0.02 * decay * decay + 0.05 * momentum * momentum +
                     (batch ? 0.0 : 0.1) + 0.05 * lr * momentum;
  const double speed = batch ? 1.0 : 0.6;
  for (int epoch = 1; epoch <= kEpochs; ++epoch) {
    ++epochs;
    if (trial.report(epoch, end + std::pow(epoch, -speed) - std::pow(kEpochs, -speed))) return 0;
  }
  return end;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

void regrets(const std::string& name, const Space& space, const Objective& objective,
             double optimum) {
  for (const Search search : {Search::random, Search::sobol, Search::tpe}) {
    const char* names[]{"random", "sobol", "tpe"};
    for (const bool refine : {false, true}) {
      std::string line =
          fmt::format("{:<11} {:<15}", name,
                      std::string(names[static_cast<int>(search)]) + (refine ? ", refine" : ""));
      for (const std::int64_t trials : {32, 64, 128}) {
        std::vector<double> found;
        for (int seed = 1; seed <= kSeeds; ++seed) {
          const Study study = tune(space, objective,
                                   {.trials = trials,
                                    .search = search,
                                    .seed = static_cast<std::uint64_t>(seed),
                                    .refine = refine});
          found.push_back(*best_trial(study)->value - optimum);
        }
        line += fmt::format(" {:>10.4f}", median(found));
      }
      fmt::print("{}\n", line);
    }
  }
}

// Epochs until the median of the best complete value is as good as random search's after 64
// trials; and that value.
void curves() {
  struct Case {
    const char* name;
    Search search;
    Pruner pruner;
  };
  fmt::print("\n{:<12} {:>14} {:>16} {:>30}\n", "curves", "median epochs", "median regret",
             "epochs to random's, seeds");
  std::vector<double> goals;
  for (const Case& c :
       {Case{"random", Search::random, Pruner::none},
        Case{"random+asha", Search::random, Pruner::asha}, Case{"tpe", Search::tpe, Pruner::none},
        Case{"tpe+asha", Search::tpe, Pruner::asha}}) {
    std::vector<double> epochs, regret, reached;
    for (int seed = 1; seed <= kSeeds; ++seed) {
      std::int64_t spent = 0, first = -1;
      double best = INFINITY;
      const double goal = goals.size() == kSeeds ? goals[static_cast<std::size_t>(seed - 1)] : -1;
      const Study study = tune(kCurveSpace,
                               [&](RunningTrial& trial) {
                                 const double value = curve(trial, spent);
                                 if (value > 0 && value < best) best = value;
                                 if (best <= goal && first < 0) first = spent;
                                 return value;
                               },
                               {.trials = 64,
                                .search = c.search,
                                .pruner = c.pruner,
                                .seed = static_cast<std::uint64_t>(seed),
                                .last_step = 27});
      epochs.push_back(static_cast<double>(spent));
      regret.push_back(*best_trial(study)->value);
      if (first >= 0) reached.push_back(static_cast<double>(first));
    }
    if (goals.empty()) {
      goals = regret;
      reached = epochs;
    }
    fmt::print("{:<12} {:>14.0f} {:>16.4f} {:>20} {:>9}\n", c.name, median(epochs), median(regret),
               reached.empty() ? "-" : fmt::format("{:.0f}", median(reached)),
               fmt::format("{}/{}", reached.size(), kSeeds));
  }
}

}  // namespace

int main() {
  fmt::print("median regret over {} seeds\n{:<11} {:<15} {:>10} {:>10} {:>10}\n", kSeeds,
             "function", "search", "32 trials", "64", "128");
  regrets(
      "Branin", kBraninSpace, [](RunningTrial& t) { return branin(t.real("x"), t.real("y")); },
      kBranin);
  regrets(
      "Hartmann-6", hartmann_space(), [](RunningTrial& t) { return hartmann6(all_values(t)); },
      kHartmann6);
  curves();
}
