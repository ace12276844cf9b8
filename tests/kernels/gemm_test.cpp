// Matrix products: every combination of transposes, odd sizes and strides, against a plain triple
// loop in long double; and the promise that threads around a product do not change its bits.
#include "kernels/gemm.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/threads.hpp"
#include "kernel_cases.hpp"

namespace evenrow::kernels {
namespace {

struct Sizes {
  std::int64_t m, n, k;
};

std::string text(const Sizes& s) {
  return std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
}

// A matrix as stored: `rows` rows of `columns` values, `stride` apart; NaN in between.
template <class T>
struct Matrix {
  std::int64_t rows, columns, stride;
  Buffer<T> values;

  Matrix(std::int64_t rows_, std::int64_t columns_, std::int64_t gap)
      : rows(rows_),
        columns(columns_),
        stride(std::max<std::int64_t>(1, columns_ + gap)),
        values(rows * stride, 1) {
    for (T& value : values.span()) value = std::numeric_limits<T>::quiet_NaN();
  }
  T& at(std::int64_t i, std::int64_t j) { return values[static_cast<std::size_t>(i * stride + j)]; }
  T at(std::int64_t i, std::int64_t j) const {
    return values[static_cast<std::size_t>(i * stride + j)];
  }
  void fill(std::uint64_t seed) {
    const core::RandomStream stream(seed, core::Purpose::test, 0);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        at(i, j) = static_cast<T>(stream.normal(static_cast<std::uint64_t>(i * columns + j)));
      }
    }
  }
};

template <class T>
T element(const Matrix<T>& matrix, Transpose transpose, std::int64_t i, std::int64_t j) {
  return transpose == Transpose::yes ? matrix.at(j, i) : matrix.at(i, j);
}

// Whatever the order of summation, each of the k products goes through at most k roundings, its own
// and those of k - 1 additions: |error| <= k u / (1 - k u) * |A||B| (Higham, section 3.5), with u
// half a unit in the last place of 1.
// `multiply(a, b, c)` may round what it multiplies, in place.
template <class T, class Multiply>
void expect_product(const Sizes& size, Transpose ta, Transpose tb, std::int64_t gap,
                    const Multiply& multiply) {
  SCOPED_TRACE(text(size) + (ta == Transpose::yes ? " A'" : " A") +
               (tb == Transpose::yes ? " B'" : " B") + " gap " + std::to_string(gap));
  Matrix<T> a =
      ta == Transpose::yes ? Matrix<T>(size.k, size.m, gap) : Matrix<T>(size.m, size.k, gap);
  Matrix<T> b = tb == Transpose::yes ? Matrix<T>(size.n, size.k, 2 * gap)
                                     : Matrix<T>(size.k, size.n, 2 * gap);
  Matrix<T> c(size.m, size.n, gap);  // what C held before, NaN, must not matter
  a.fill(1);
  b.fill(2);
  multiply(a, b, c);
  const long double ku =
      static_cast<long double>(size.k) * (std::numeric_limits<T>::epsilon() / 2.0L);
  for (std::int64_t i = 0; i < size.m; ++i) {
    for (std::int64_t j = 0; j < size.n; ++j) {
      long double exact = 0, magnitude = 0;
      for (std::int64_t p = 0; p < size.k; ++p) {
        const long double product =
            static_cast<long double>(element(a, ta, i, p)) * element(b, tb, p, j);
        exact += product;
        magnitude += std::abs(product);
      }
      // A hundredth for the rounding of this loop itself.
      ASSERT_LE(std::abs(c.at(i, j) - exact), 1.01L * ku / (1 - ku) * magnitude)
          << "at " << i << ", " << j;
    }
    for (std::int64_t j = size.n; j < c.stride && size.n > 0; ++j) {
      ASSERT_TRUE(std::isnan(c.at(i, j))) << "written between rows, at " << i << ", " << j;
    }
  }
  EXPECT_TRUE(c.values.untouched());
}

template <class T>
void expect_products(const Sizes& size) {
  for (const Transpose ta : {Transpose::no, Transpose::yes}) {
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      for (const std::int64_t gap : {0, 3}) {
        expect_product<T>(size, ta, tb, gap, [&](Matrix<T>& a, Matrix<T>& b, Matrix<T>& c) {
          gemm(ta, tb, size.m, size.n, size.k, a.values.data(), a.stride, b.values.data(), b.stride,
               c.values.data(), c.stride);
        });
      }
    }
  }
}

// Rounds in place; the rounded values as bfloat16, where they were.
std::vector<bfloat16> rounded(Matrix<float>& matrix) {
  std::vector<bfloat16> halves;
  for (float& value : matrix.values.span()) {
    halves.emplace_back(value);
    value = static_cast<float>(halves.back());
  }
  return halves;
}

// Products of bfloat16 are exact in float, so the bound is that of float.
TEST(HalfGemm, OfRoundedOperands) {
  if (!HalfGemm::available()) GTEST_SKIP() << "this processor does not multiply bfloat16";
  for (const Sizes& size :
       {Sizes{1, 1, 1}, Sizes{5, 3, 2}, Sizes{17, 31, 15}, Sizes{33, 49, 33}, Sizes{64, 128, 784},
        Sizes{10, 127, 129}, Sizes{64, 1, 300}, Sizes{65, 67, 1}, Sizes{3, 784, 128}}) {
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        for (const std::int64_t gap : {0, 3}) {
          expect_product<float>(
              size, ta, tb, gap, [&](Matrix<float>& a, Matrix<float>& b, Matrix<float>& c) {
                const std::vector<bfloat16> half_a = rounded(a), half_b = rounded(b);
                const HalfGemm product(ta, tb, size.m, size.n, size.k, a.stride, b.stride,
                                       c.stride);
                product.run(half_a.data(), half_b.data(), c.values.data());
              });
        }
      }
    }
  }
}

TEST(Gemm, OddSizes) {
  for (const std::int64_t m : {1, 2, 5, 17, 33}) {
    for (const std::int64_t n : {1, 3, 16, 31, 49}) {
      for (const std::int64_t k : {1, 2, 7, 15, 33}) {
        expect_products<float>({m, n, k});
        expect_products<double>({m, n, k});
      }
    }
  }
}

// Of dense blocks: 64 rows of a layer, a last block of few rows, one example, one unit.
TEST(Gemm, SizesOfDenseBlocks) {
  for (const Sizes& size : {Sizes{64, 128, 784}, Sizes{10, 128, 129}, Sizes{64, 1, 300},
                            Sizes{1, 127, 300}, Sizes{65, 67, 1}, Sizes{3, 784, 128}}) {
    expect_products<float>(size);
    expect_products<double>(size);
  }
}

// No terms: C is 0, whatever it held. No rows or columns: nothing is touched.
TEST(Gemm, EmptyProducts) {
  for (const Sizes& size : {Sizes{3, 5, 0}, Sizes{0, 5, 4}, Sizes{3, 0, 4}, Sizes{0, 0, 0}}) {
    expect_products<float>(size);
    expect_products<double>(size);
  }
}

template <class T>
void nan_stays_in_its_row_and_column() {
  for (const std::int64_t bad : {0, 6, 16}) {
    Matrix<T> a(17, 19, 0), b(19, 23, 0), c(17, 23, 0);
    a.fill(1);
    b.fill(2);
    a.at(bad, 3) = std::numeric_limits<T>::quiet_NaN();
    gemm(Transpose::no, Transpose::no, 17, 23, 19, a.values.data(), 19, b.values.data(), 23,
         c.values.data(), 23);
    for (std::int64_t i = 0; i < 17; ++i) {
      for (std::int64_t j = 0; j < 23; ++j) EXPECT_EQ(std::isnan(c.at(i, j)), i == bad) << i;
    }
  }
}
TEST(Gemm, NanStaysInItsRow) {
  nan_stays_in_its_row_and_column<float>();
  nan_stays_in_its_row_and_column<double>();
}

// Large enough for the library to share the work, were it let.
template <class T>
void same_bits_for_any_threads_around() {
  constexpr Sizes size{96, 256, 300};
  Matrix<T> a(size.m, size.k, 0), b(size.k, size.n, 0);
  a.fill(1);
  b.fill(2);
  const auto product = [&] {
    Matrix<T> c(size.m, size.n, 0);
    gemm(Transpose::no, Transpose::no, size.m, size.n, size.k, a.values.data(), size.k,
         b.values.data(), size.n, c.values.data(), size.n);
    return c;
  };
  const int threads_before = omp_get_max_threads();
  const Matrix<T> expected = product();
  const auto same = [&](const Matrix<T>& found) {
    return std::memcmp(expected.values.data(), found.values.data(),
                       expected.values.span().size_bytes()) == 0;
  };
  for (const int threads : {1, 2, 3, 8}) {
    omp_set_num_threads(threads);
    EXPECT_TRUE(same(product())) << threads << " threads allowed";
    EXPECT_EQ(omp_get_max_threads(), threads) << "the caller's setting was changed";
    std::vector<char> equal(8, 0);
    core::parallel_for(threads, 8, [&](std::int64_t task) {
      equal[static_cast<std::size_t>(task)] = same(product()) ? 1 : 0;
    });
    EXPECT_EQ(equal, std::vector<char>(8, 1)) << "inside a parallel region of " << threads;
  }
  omp_set_num_threads(threads_before);
}
TEST(Gemm, SameBitsForAnyThreadsAroundFloat) {
  same_bits_for_any_threads_around<float>();
}
TEST(Gemm, SameBitsForAnyThreadsAroundDouble) {
  same_bits_for_any_threads_around<double>();
}

}  // namespace
}  // namespace evenrow::kernels
