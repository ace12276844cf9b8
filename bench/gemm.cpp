// Which GEMM library for the shapes of MLP training? Every candidate computes the same product, in
// blocks of 64 rows that are shared out over threads, each block by a single-threaded call: how
// src/nn uses it. Results are checked before anything is timed; candidates take turns.
//   bin/gemm_bench bench/gemm_shapes.txt [CBLAS_LIBRARY.so ...]
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "kernels/gemm.hpp"
#include "nn/row_block.hpp"

namespace {

using evenrow::kernels::Transpose;

constexpr int kRepeats = 101;

struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  std::string op, why;
  Transpose a() const { return op[0] == 'T' ? Transpose::yes : Transpose::no; }
  Transpose b() const { return op[1] == 'T' ? Transpose::yes : Transpose::no; }
  std::int64_t lda() const { return a() == Transpose::yes ? m : k; }
  std::int64_t ldb() const { return b() == Transpose::yes ? k : n; }
};

// c = op(a) op(b) for the rows [first, last) of c.
using Block = std::function<void(const Product&, std::int64_t first, std::int64_t last,
                                 const float* a, const float* b, float* c)>;
struct Candidate {
  std::string name;
  Block block;
};

const float* rows_of(const Product& p, const float* a, std::int64_t first) {
  return p.a() == Transpose::yes ? a + first : a + first * p.k;
}

Candidate evenrow_gemm() {
  return {"oneDNN", [](const Product& p, std::int64_t first, std::int64_t last, const float* a,
                       const float* b, float* c) {
            evenrow::kernels::gemm(p.a(), p.b(), last - first, p.n, p.k, rows_of(p, a, first),
                                   p.lda(), b, p.ldb(), c + first * p.n, p.n);
          }};
}

Candidate cblas(const std::string& path) {
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(::dlerror());
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int,
                         float, float*, int);
  const auto sgemm = reinterpret_cast<Sgemm>(::dlsym(library, "cblas_sgemm"));
  if (sgemm == nullptr) throw std::runtime_error(path + ": no cblas_sgemm");
  std::string name = path.substr(path.rfind('/') + 1);
  if (void* const set = ::dlsym(library, "openblas_set_num_threads")) {
    reinterpret_cast<void (*)(int)>(set)(1);
    name = fmt::format("OpenBLAS {}", reinterpret_cast<const char* (*)()>(
                                          ::dlsym(library, "openblas_get_corename"))());
  }
  if (void* const set = ::dlsym(library, "bli_thread_set_num_threads")) {
    reinterpret_cast<void (*)(std::int64_t)>(set)(1);
    name = "BLIS";
  }
  constexpr int kRowMajor = 101, kNo = 111, kYes = 112;
  return {name, [=](const Product& p, std::int64_t first, std::int64_t last, const float* a,
                    const float* b, float* c) {
            const auto as_int = [](std::int64_t value) { return static_cast<int>(value); };
            sgemm(kRowMajor, p.a() == Transpose::yes ? kYes : kNo,
                  p.b() == Transpose::yes ? kYes : kNo, as_int(last - first), as_int(p.n),
                  as_int(p.k), 1.0f, rows_of(p, a, first), as_int(p.lda()), b, as_int(p.ldb()),
                  0.0f, c + first * p.n, as_int(p.n));
          }};
}

std::vector<Product> read_shapes(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be opened");
  std::vector<Product> products;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Product p;
    std::istringstream fields(line);
    fields >> p.m >> p.n >> p.k >> p.op;
    std::getline(fields >> std::ws, p.why);
    products.push_back(p);
  }
  return products;
}

std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  const evenrow::core::RandomStream stream(seed, evenrow::core::Purpose::test, 0);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(stream.uniform(static_cast<std::uint64_t>(i)) - 0.5));
  }
  return values;
}

void run(const Candidate& candidate, const Product& p, int threads, const float* a, const float* b,
         float* c) {
  const std::int64_t size = evenrow::nn::row_block(p.m);
  evenrow::core::parallel_for(threads, evenrow::core::block_count(p.m, size),
                              [&](std::int64_t task) {
                                const std::int64_t first = task * size;
                                candidate.block(p, first, std::min(first + size, p.m), a, b, c);
                              });
}

// |error| <= k eps sum |a||b| for any order of summation; the sum is at most k / 4 here.
void check(const Candidate& candidate, const Product& p, const std::vector<float>& a,
           const std::vector<float>& b) {
  const std::vector<double> wide_a(a.begin(), a.end()), wide_b(b.begin(), b.end());
  std::vector<double> expected(static_cast<std::size_t>(p.m * p.n));
  evenrow::kernels::gemm(p.a(), p.b(), p.m, p.n, p.k, wide_a.data(), p.lda(), wide_b.data(),
                         p.ldb(), expected.data(), p.n);
  std::vector<float> c(expected.size());
  run(candidate, p, 1, a.data(), b.data(), c.data());
  const double k = static_cast<double>(p.k);
  const double bound = k * std::numeric_limits<float>::epsilon() * k / 4;
  for (std::size_t i = 0; i < c.size(); ++i) {
    if (!(std::abs(c[i] - expected[i]) <= bound)) {
      throw std::runtime_error(
          fmt::format("{}: wrong result for {}x{}x{} {}", candidate.name, p.m, p.n, p.k, p.op));
    }
  }
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void compare(const std::vector<Candidate>& candidates, const std::vector<Product>& products,
             int threads) {
  fmt::print("\n{} thread{}: GFLOP/s, median of {}\n{:>5} {:>5} {:>5} {:>3}", threads,
             threads == 1 ? "" : "s", kRepeats, "m", "n", "k", "op");
  for (const Candidate& candidate : candidates) fmt::print(" {:>19}", candidate.name);
  fmt::print("\n");
  for (const Product& p : products) {
    const std::vector<float> a = random_values(p.m * p.k, 1), b = random_values(p.k * p.n, 2);
    std::vector<float> c(static_cast<std::size_t>(p.m * p.n));
    std::vector<std::vector<double>> times(candidates.size());
    for (const Candidate& candidate : candidates) check(candidate, p, a, b);
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      for (std::size_t i = 0; i < candidates.size(); ++i) {
        times[i].push_back(
            seconds([&] { run(candidates[i], p, threads, a.data(), b.data(), c.data()); }));
      }
    }
    fmt::print("{:>5} {:>5} {:>5} {:>3}", p.m, p.n, p.k, p.op);
    for (std::vector<double>& time : times) {
      std::ranges::nth_element(time, time.begin() + kRepeats / 2);
      fmt::print(" {:>19.0f}", 2e-9 * static_cast<double>(p.m * p.n * p.k) / time[kRepeats / 2]);
    }
    fmt::print("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 2) throw std::runtime_error("usage: gemm_bench SHAPES.txt [CBLAS_LIBRARY.so ...]");
    const std::vector<Product> products = read_shapes(argv[1]);
    std::vector<Candidate> candidates{evenrow_gemm()};
    for (int i = 2; i < argc; ++i) candidates.push_back(cblas(argv[i]));
    compare(candidates, products, 1);
    const int all = evenrow::core::available_threads();
    if (all > 1) compare(candidates, products, all);
  } catch (const std::exception& error) {
    fmt::print(stderr, "gemm_bench: {}\n", error.what());
    return 1;
  }
}
