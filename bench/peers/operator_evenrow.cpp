// Evenrow's operator as a peer of bench/operator_bench.py (see peer.hpp), and copies of a tensor on
// the same threads: the limit that the machine sets.
//   bin/operator_evenrow THREADS
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "evenrow/batch_norm.hpp"
#include "operator_case.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace evenrow::bench {
namespace {

NormShape shape_of(const Case& c) {
  return c.channels_last() ? NormShape::channels_last(c.batch, c.positions, c.channels)
                           : NormShape::channels_first(c.batch, c.channels, c.positions);
}

// Every operation has x, gamma and beta, perhaps a residual; a kind of operation adds the rest.
template <class T>
class Normalization : public Operation {
 protected:
  using Parameter = NormParameter<T>;

  Normalization(const Case& c, int threads)
      : case_(c),
        shape_(shape_of(c)),
        options_{.eps = c.eps,
                 .activation = c.relu ? Activation::relu : Activation::none,
                 .threads = threads},
        x_(input("x.bin")),
        gamma_(parameters("gamma.bin")),
        beta_(parameters("beta.bin")) {
    if (c.residual) residual_ = input("residual.bin");
  }

  Buffer<T> input(const std::string& name) const {
    return Buffer<T>(case_.size(), case_.data + "/" + name);
  }
  std::vector<Parameter> parameters(const std::string& name) const {
    const Buffer<float> values(case_.channels, case_.data + "/" + name);
    return {values.begin(), values.end()};
  }
  static std::span<const T> view(const Buffer<T>& buffer) { return {buffer.data(), buffer.size()}; }
  static std::span<T> room(const Buffer<T>& buffer) { return {buffer.data(), buffer.size()}; }

  Validity valid() const { return {.lengths = case_.lengths}; }
  BatchNormTrain<T> forward(const Buffer<T>& y) const {
    return {.x = view(x_),
            .gamma = gamma_,
            .beta = beta_,
            .residual = view(residual_),
            .y = room(y),
            .shape = shape_,
            .valid = valid()};
  }

  const Case case_;
  const NormShape shape_;
  const NormOptions options_;
  const Buffer<T> x_;
  Buffer<T> residual_;
  const std::vector<Parameter> gamma_, beta_;
};

template <class T>
class Forward final : public Normalization<T> {
 public:
  Forward(const Case& c, int threads)
      : Normalization<T>(c, threads),
        y_(c.size()),
        saved_(batch_norm_train<T>(this->forward(y_), this->options_)) {
    if (c.op == "chain" && !std::is_same_v<T, float>) throw Unsupported("chain: f32 alone");
  }

  void run() override {
    batch_norm_train<T>(this->forward(y_), this->options_, saved_);
    if (this->case_.op == "chain") sum_ = sum_of_y();
  }
  void write(const std::string& folder) const override {
    y_.write(folder + "/y.bin");
    if (this->case_.op == "chain") std::ofstream(folder + "/sum.txt") << sum_;
  }

 private:
  double sum_of_y() const {
    if constexpr (std::is_same_v<T, float>) {
      constexpr std::int64_t kBlock = 16384;
      const std::int64_t size = this->case_.size(), blocks = core::block_count(size, kBlock);
      sums_.resize(static_cast<std::size_t>(blocks));
      core::parallel_for(this->options_.threads, blocks, [&](std::int64_t block) {
        const std::int64_t first = block * kBlock;
        sums_[static_cast<std::size_t>(block)] =
            sum_of(y_.data() + first, std::min(kBlock, size - first));
      });
      double sum = 0;
      for (const float part : sums_) sum += static_cast<double>(part);
      return sum;
    }
    return 0;
  }

  const Buffer<T> y_;
  BatchNormSaved saved_;
  mutable std::vector<float> sums_;
  double sum_ = 0;
};

template <class T>
class Backward final : public Normalization<T> {
 public:
  Backward(const Case& c, int threads)
      : Normalization<T>(c, threads),
        dy_(this->input("dy.bin")),
        dx_(c.size()),
        dresidual_(c.residual ? c.size() : 0),
        dgamma_(static_cast<std::size_t>(c.channels)),
        dbeta_(static_cast<std::size_t>(c.channels)),
        saved_(batch_norm_train<T>(this->forward(dx_), this->options_)) {}

  void run() override {
    batch_norm_backward<T>({.x = this->view(this->x_),
                            .dy = this->view(dy_),
                            .gamma = this->gamma_,
                            .beta = this->beta_,
                            .dx = this->room(dx_),
                            .dresidual = this->room(dresidual_),
                            .dgamma = dgamma_,
                            .dbeta = dbeta_,
                            .valid = this->valid()},
                           saved_, this->options_.threads);
  }
  void write(const std::string& folder) const override {
    dx_.write(folder + "/dx.bin");
    if (this->case_.residual) dresidual_.write(folder + "/dresidual.bin");
    write_parameters(dgamma_, folder + "/dgamma.bin");
    write_parameters(dbeta_, folder + "/dbeta.bin");
  }

 private:
  using Parameter = NormParameter<T>;
  static void write_parameters(const std::vector<Parameter>& values, const std::string& path) {
    const Buffer<Parameter> copy(static_cast<std::int64_t>(values.size()));
    std::ranges::copy(values, copy.begin());
    copy.write(path);
  }

  const Buffer<T> dy_, dx_, dresidual_;
  std::vector<Parameter> dgamma_, dbeta_;
  const BatchNormSaved saved_;
};

template <class T>
class Infer final : public Normalization<T> {
 public:
  Infer(const Case& c, int threads)
      : Normalization<T>(c, threads),
        y_(c.size()),
        mean_(statistics("mean.bin")),
        variance_(statistics("variance.bin")) {}

  void run() override {
    batch_norm_infer<T>({.x = this->view(this->x_),
                         .gamma = this->gamma_,
                         .beta = this->beta_,
                         .residual = this->view(this->residual_),
                         .mean = mean_,
                         .variance = variance_,
                         .y = this->room(y_),
                         .shape = this->shape_,
                         .valid = this->valid()},
                        this->options_);
  }
  void write(const std::string& folder) const override { y_.write(folder + "/y.bin"); }

 private:
  std::vector<double> statistics(const std::string& name) const {
    const Buffer<float> values(this->case_.channels, this->case_.data + "/" + name);
    return {values.begin(), values.end()};
  }

  const Buffer<T> y_;
  const std::vector<double> mean_, variance_;
};

// With stores that go past the caches; they do not read the lines that they overwrite.
void copy_past_caches([[maybe_unused]] const char* from, [[maybe_unused]] char* to,
                      [[maybe_unused]] std::int64_t bytes) {
#if defined(__x86_64__)
  std::int64_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    const auto* source = reinterpret_cast<const __m128i*>(from + i);
    auto* target = reinterpret_cast<__m128i*>(to + i);
    const __m128i a = _mm_load_si128(source), b = _mm_load_si128(source + 1);
    const __m128i c = _mm_load_si128(source + 2), d = _mm_load_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
  }
  std::memcpy(to + i, from + i, static_cast<std::size_t>(bytes - i));
  _mm_sfence();
#endif
}

template <class T>
class Copy final : public Operation {
 public:
  Copy(const Case& c, int threads)
      : stream_(c.op == "copy_stream"),
        threads_(threads),
        x_(c.size(), c.data + "/x.bin"),
        y_(c.size()) {
#if !defined(__x86_64__)
    if (stream_) throw Unsupported("written for x86-64 alone");
#endif
  }

  void run() override {
    constexpr std::int64_t kBlock = 32768;  // less is not worth a second thread
    const std::int64_t bytes = x_.bytes();
    const char* from = reinterpret_cast<const char*>(x_.data());
    char* to = reinterpret_cast<char*>(y_.data());
    core::parallel_shares(threads_, core::block_count(bytes, kBlock),
                          [&](std::int64_t first, std::int64_t last) {
                            const std::int64_t begin = first * kBlock;
                            const std::int64_t size = std::min(last * kBlock, bytes) - begin;
                            if (stream_) {
                              copy_past_caches(from + begin, to + begin, size);
                            } else {
                              std::memcpy(to + begin, from + begin, static_cast<std::size_t>(size));
                            }
                          });
  }
  void write(const std::string& folder) const override {
    y_.write(folder + "/y.bin");
  }

 private:
  const bool stream_;
  const int threads_;
  const Buffer<T> x_, y_;
};

template <class T>
std::unique_ptr<Operation> make(const Case& c, int threads) {
  if (c.op == "copy" || c.op == "copy_stream") return std::make_unique<Copy<T>>(c, threads);
  if (c.op == "forward" || c.op == "chain") return std::make_unique<Forward<T>>(c, threads);
  if (c.op == "backward") return std::make_unique<Backward<T>>(c, threads);
  if (c.op == "infer") return std::make_unique<Infer<T>>(c, threads);
  throw Unsupported("no operation " + c.op);
}

std::unique_ptr<Operation> make_any(const Case& c, int threads) {
  if (c.type == "f32") return make<float>(c, threads);
  if (c.type == "f64") return make<double>(c, threads);
  if (c.type == "bf16") return make<bfloat16>(c, threads);
  if (c.type == "f16") return make<float16>(c, threads);
  throw Unsupported("no type " + c.type);
}

}  // namespace
}  // namespace evenrow::bench

int main(int argc, char** argv) {
  using namespace evenrow::bench;
  const int threads = evenrow::core::resolve_threads(argc > 1 ? std::atoi(argv[1]) : 0);
  return serve({{"name", "Evenrow"}, {"version", EVENROW_BENCH_VERSION}, {"threads", threads}},
               [threads](const json& request) { return make_any(Case(request), threads); });
}
