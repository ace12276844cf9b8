// Output larger than half of the last cache is written past the caches. No test is that large, so
// the loops are called here as the operator calls them then: the same bits as without, on every
// target and in every type, for any alignment, up to a page that may not be touched.
#include <gtest/gtest.h>

#include "kernels/columns.hpp"
#include "kernels/rows.hpp"
#include "norm_cases.hpp"
#include "support/every_target.hpp"

namespace evenrow {
namespace {

class Streaming : public kernels::EveryTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Streaming, ::testing::ValuesIn(kernels::available_targets()),
                         kernels::target_test_name);

// What both loops are given: some segments, or columns, of n values each. Four columns are written
// side by side, and one at a time in the end.
constexpr std::int64_t kSegments = 2, kColumns = 6;
template <class T>
struct Inputs {
  using C = NormParameter<T>;
  std::int64_t n;
  std::vector<T> x, dy, residual;
  std::vector<C> center, scale, shift, a, b, c;
  std::vector<kernels::Run> run;

  Inputs(std::int64_t values, bool columns)
      : n(values),
        x(normal_values<T>(kColumns * n, 1)),
        dy(normal_values<T>(kColumns * n, 2)),
        residual(normal_values<T>(kColumns * n, 3)) {
    const std::int64_t channels = columns ? n : kSegments;
    std::uint64_t seed = 4;
    for (std::vector<C>* const values_of : {&center, &scale, &shift, &a, &b, &c}) {
      *values_of = normal_values<C>(channels, seed++);
    }
    // All columns but the first of several.
    const std::int64_t all = columns ? kColumns : n, first = all > 2 ? 1 : 0;
    run = {{.start = first, .length = all - first, .inner = first}};
  }
  kernels::ChannelAffine<C> affine() { return {center.data(), scale.data(), shift.data()}; }
  kernels::ChannelGradient<C> gradient() { return {center.data(), a.data(), b.data(), c.data()}; }
  kernels::Runs runs(std::int64_t segment) const { return {run.data(), run.size(), segment}; }
};

// y, dx and dresidual that call(y, dx, dresidual) writes; `behind`: how many values after each of
// them the fence is.
template <class T, class Call>
std::vector<T> outputs(std::int64_t size, std::int64_t behind, const Call& call) {
  std::vector<Fenced<T>> tensors;
  for (int i = 0; i < 3; ++i) tensors.emplace_back(size + behind, Fence::behind);
  call(tensors[0].data(), tensors[1].data(), tensors[2].data());
  std::vector<T> all;
  for (Fenced<T>& tensor : tensors) {
    all.insert(all.end(), tensor.data(), tensor.data() + size);
    for (std::int64_t i = size; i < size + behind; ++i) {
      EXPECT_TRUE(same_bits(tensor[static_cast<std::size_t>(i)], T{}));
    }
  }
  return all;
}

template <class T>
std::vector<T> rows(Inputs<T>& in, bool stream, std::int64_t behind) {
  const auto tensor = [n = in.n]<class V>(V* data) {
    return kernels::Rows<V>{data, kSegments * n, n};
  };
  const auto input = [&](const std::vector<T>& values) { return tensor(values.data()); };
  const kernels::ColumnRange range{0, in.n, stream};
  const auto forward = in.affine();
  return outputs<T>(kSegments * in.n, behind, [&](T* y, T* dx, T* dresidual) {
    kernels::channel_normalize<T>(input(in.x), input(in.residual), tensor(y), in.runs(in.n), range,
                                  kSegments, forward, true, {});
    kernels::channel_input_gradient<T>(input(in.x), input(in.dy), tensor(dx), tensor(dresidual),
                                       in.runs(in.n), range, kSegments, in.gradient(),
                                       {.forward = &forward});
  });
}

// The same where each column has n channels.
template <class T>
std::vector<T> columns(Inputs<T>& in, bool stream, std::int64_t behind) {
  const auto tensor = [n = in.n]<class V>(V* data) { return kernels::Columns<V>{data, n}; };
  const auto input = [&](const std::vector<T>& values) { return tensor(values.data()); };
  const kernels::ColumnRange range{0, kColumns, stream};
  const auto forward = in.affine();
  return outputs<T>(kColumns * in.n, behind, [&](T* y, T* dx, T* dresidual) {
    kernels::column_normalize<T>(input(in.x), input(in.residual), tensor(y), in.runs(kColumns),
                                 range, in.n, forward, true, {});
    kernels::column_input_gradient<T>(input(in.x), input(in.dy), tensor(dx), tensor(dresidual),
                                      in.runs(kColumns), range, in.n, in.gradient(),
                                      {.forward = &forward});
  });
}

template <class T>
void streamed_or_not() {
  for (const std::int64_t n :
       {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129, 1021, 1024, 2051}) {
    Inputs<T> of_rows(n, false), of_columns(n, true);
    const std::vector<T> expected_rows = rows(of_rows, false, 0);
    const std::vector<T> expected_columns = columns(of_columns, false, 0);
    for (const std::int64_t behind : {0, 1, 2, 3, 5, 8, 13}) {
      EXPECT_TRUE(same_bits(rows(of_rows, true, behind), expected_rows)) << n << ' ' << behind;
      EXPECT_TRUE(same_bits(columns(of_columns, true, behind), expected_columns))
          << n << ' ' << behind;
    }
  }
}
EVENROW_EVERY_ELEMENT(Streaming, ChangesNothing, streamed_or_not)

}  // namespace
}  // namespace evenrow
