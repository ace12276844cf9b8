// Many generated cases of the operator: each on one SIMD target, in some layout, memory and number
// of threads, against the reference in long double within the derived bounds; and each again with
// one thread in plain memory, which must give the same bits. docs/testing.md says how to see the
// counts.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "comparison.hpp"
#include "generated_cases.hpp"
#include "support/every_target.hpp"
#include "support/throws_error.hpp"

namespace evenrow {
namespace {

// Of all element types and targets together. A sanitizer makes a case ten times as slow.
constexpr std::int64_t kWanted = EVENROW_SANITIZED ? 10000 : 60000;

// EVENROW_GENERATED_CASES in the environment asks for another number.
std::int64_t wanted() {
  const char* const asked = std::getenv("EVENROW_GENERATED_CASES");
  return asked != nullptr ? std::atoll(asked) : kWanted;
}

constexpr std::int64_t kElementTypes = 4;

std::int64_t cases_a_test() {
  const auto tests = kElementTypes * static_cast<std::int64_t>(kernels::available_targets().size());
  return (wanted() + tests - 1) / tests;
}

// What has been done, by element type.
struct Done {
  std::int64_t cases = 0, refused = 0;
  Tally tally;
};
std::map<std::string, Done>& done() {
  static std::map<std::string, Done> all;
  return all;
}

void print(const std::string& where, const std::map<std::string, Done>& all) {
  std::int64_t cases = 0, refused = 0;
  Tally tally;
  std::string worst;
  for (const auto& [type, of] : all) {
    cases += of.cases;
    refused += of.refused;
    tally.add(of.tally);
    worst += fmt::format("; {} {:.2f} of its bound, y {:.2f} ULP, dx {:.2f} ULP", type,
                         static_cast<double>(of.tally.share), static_cast<double>(of.tally.ulp_y),
                         static_cast<double>(of.tally.ulp_dx));
  }
  std::cout << fmt::format(
      "generated cases, {}: {} forward, backward and inference ({} more of one column, refused); "
      "{} "
      "values compared; worst error (ULP of the largest term){}\n",
      where, cases, refused, tally.values, worst);
}

class GeneratedCases : public kernels::EveryTarget {
 protected:
  static void TearDownTestSuite() { print("all here", done()); }
};
INSTANTIATE_TEST_SUITE_P(Targets, GeneratedCases, ::testing::ValuesIn(kernels::available_targets()),
                         kernels::target_test_name);

// The other target with the same bits, or none.
std::string twin_of(const std::string& target) {
  if (!kernels::has_avx2_and_avx512()) return "";
  return target == "avx2" ? "avx512" : (target == "avx512" ? "avx2" : "");
}

template <class T>
void many_cases() {
  const std::string target = kernels::running_target(), twin = twin_of(target);
  // Every test has numbers of its own, and there is no case twice.
  std::uint64_t seed = 1;
  for (const char c : target + Format<T>::name) seed = seed * 131 + static_cast<unsigned char>(c);
  Done here;
  const auto failed = [] { return ::testing::Test::HasFailure(); };
  for (std::uint64_t number = 0; here.cases < cases_a_test() && !failed(); ++number) {
    const auto [k, how] = generated_case<T>(seed, number);
    SCOPED_TRACE(fmt::format("case {} of {}", number, shape_text(k.shape)));
    if (k.count() == 1 && k.shape.channels > 0) {
      const auto train = [&generated = k, &memory = how] { run(generated, memory); };
      EXPECT_THAT(train, ThrowsError(ErrorKind::usage, "x has one valid column"));
      ++here.refused;
      continue;
    }
    const NormResults<T> results = run(k, how);
    here.tally.add(expect_matches_reference(k, results));
    EXPECT_TRUE(run(k) == results) << "other threads or memory, other bits";
    if (!twin.empty()) {
      kernels::use_target(twin);
      EXPECT_TRUE(run(k) == results) << "other bits on " << twin;
      kernels::use_target(target);
    }
    ++here.cases;
  }
  EXPECT_GE(here.cases, cases_a_test());
  print(target, {{Format<T>::name, here}});
  Done& all = done()[Format<T>::name];
  all.cases += here.cases;
  all.refused += here.refused;
  all.tally.add(here.tally);
}
EVENROW_EVERY_ELEMENT(GeneratedCases, Of, many_cases)

// ctest runs each of the tests above alone; together they are so many.
TEST(GeneratedCasesTogether, AreAtLeastTenThousand) {
  const auto targets = static_cast<std::int64_t>(kernels::available_targets().size());
  const std::int64_t all = cases_a_test() * kElementTypes * targets;
  std::cout << "generated cases, all tests together: " << all << '\n';
  if (wanted() != kWanted) GTEST_SKIP() << "EVENROW_GENERATED_CASES asks for another number";
  EXPECT_GE(all, 10000);
}

}  // namespace
}  // namespace evenrow
