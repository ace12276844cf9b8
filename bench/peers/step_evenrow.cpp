// Training steps of Evenrow as a peer of bench/step_bench.py (see peer.hpp), and the matrix
// products of such a step alone: what no trainer on this library of products can go below.
//   bin/step_evenrow THREADS
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "evenrow/optimizer.hpp"
#include "evenrow/training_pass.hpp"
#include "kernels/gemm.hpp"
#include "peer.hpp"

namespace evenrow::bench {
namespace {

struct StepCase {
  NetworkSpec network;
  std::int64_t batch;
  std::string data;  // the folder of x.bin, classes.bin and weight<block>.bin

  explicit StepCase(const json& request) : batch(request.at("batch")), data(request.at("data")) {
    const bool normalized = request.at("norm") == "batch";
    network.inputs = request.at("inputs");
    for (const std::int64_t units : request.at("hidden")) {
      network.blocks.push_back({.units = units,
                                .norm = normalized ? Norm::batch : Norm::none,
                                .activation = Activation::relu});
    }
    network.blocks.push_back({.units = request.at("outputs")});
  }
};

// One network in training; a run is a step: forward, loss, backward, Adam.
class Training {
 public:
  Training(const StepCase& c, int threads, double learning_rate)
      : threads_(threads),
        learning_rate_(learning_rate),
        x_(c.batch * c.network.inputs, c.data + "/x.bin"),
        classes_(c.batch, c.data + "/classes.bin"),
        network_(c.network, 0),
        pass_(c.network, {.max_examples = c.batch, .threads = threads}),
        optimizer_(network_, {.kind = OptimizerKind::adam}) {
    for (std::size_t b = 0; b < c.network.blocks.size(); ++b) {
      const std::span<float> weight = network_.parameter(b, ParameterKind::weight);
      const Buffer<float> values(static_cast<std::int64_t>(weight.size()),
                                 c.data + "/weight" + std::to_string(b) + ".bin");
      std::ranges::copy(values, weight.begin());
    }
  }

  double step() {
    const PassResult result = pass_.run(
        network_, {.x = {x_.data(), x_.size()}, .classes = {classes_.data(), classes_.size()}},
        step_++);
    optimizer_.step(network_, pass_.gradients(), result.gradient_norm, learning_rate_, threads_);
    pass_.commit(network_);
    return result.loss;
  }

 private:
  int threads_;
  double learning_rate_;
  Buffer<float> x_;
  Buffer<std::int32_t> classes_;
  Network<float> network_;
  TrainingPass<float> pass_;
  Optimizer<float> optimizer_;
  std::uint64_t step_ = 0;
};

class Step final : public Operation {
 public:
  Step(const json& request, int threads)
      : case_(request),
        threads_(threads),
        learning_rate_(request.at("learning_rate")),
        steps_(request.at("checked_steps")),
        // So slow that the network which is timed stays as it is, however often it is run.
        timed_(case_, threads, request.at("timed_learning_rate")) {}

  void run() override { timed_.step(); }
  void write(const std::string& folder) const override {
    Training checked(case_, threads_, learning_rate_);
    const Buffer<double> losses(steps_);
    for (double& loss : losses) loss = checked.step();
    losses.write(folder + "/losses.bin");
  }

 private:
  StepCase case_;
  int threads_;
  double learning_rate_;
  std::int64_t steps_;
  Training timed_;
};

// The products of a step, as TrainingPass calls them: in blocks of 64 rows over the threads.
class Products final : public Operation {
 public:
  Products(const json& request, int threads) : threads_(threads) {
    const StepCase c(request);
    batch_ = c.batch;
    std::int64_t widest = c.network.inputs, inputs = c.network.inputs, weights = 0;
    for (const DenseSpec& block : c.network.blocks) {
      layers_.push_back({inputs, block.units});
      widest = std::max(widest, block.units);
      weights = std::max(weights, inputs * block.units);
      inputs = block.units;
    }
    for (const Layer& layer : layers_) {
      weights_.push_back(random(layer.inputs * layer.units));
      activations_.push_back(random(layer.inputs * batch_));
    }
    gradient_ = random(widest * batch_);
    result_ = Buffer<float>(std::max(widest * batch_, weights));
  }

  void run() override {
    using kernels::Transpose;
    for (std::size_t b = 0; b < layers_.size(); ++b) {
      const auto [in, units] = layers_[b];
      const float *w = weights_[b].data(), *x = activations_[b].data();
      product(units, [&, in = in](std::int64_t first, std::int64_t rows) {
        float* const z = result_.data() + first * batch_;
        if (b == 0) {
          kernels::gemm(Transpose::no, Transpose::yes, rows, batch_, in, w + first * in, in, x, in,
                        z, batch_);
        } else {
          kernels::gemm(Transpose::no, Transpose::no, rows, batch_, in, w + first * in, in, x,
                        batch_, z, batch_);
        }
      });
    }
    for (std::size_t b = layers_.size(); b-- > 0;) {
      const auto [in, units] = layers_[b];
      const float *w = weights_[b].data(), *x = activations_[b].data();
      const float* const dz = gradient_.data();
      product(units, [&, in = in](std::int64_t first, std::int64_t rows) {
        kernels::gemm(Transpose::no, b == 0 ? Transpose::no : Transpose::yes, rows, in, batch_,
                      dz + first * batch_, batch_, x, b == 0 ? in : batch_,
                      result_.data() + first * in, in);
      });
      if (b == 0) continue;
      product(in, [&, in = in, units = units](std::int64_t first, std::int64_t rows) {
        kernels::gemm(Transpose::yes, Transpose::no, rows, batch_, units, w + first, in, dz, batch_,
                      result_.data() + first * batch_, batch_);
      });
    }
  }
  void write(const std::string&) const override {}  // gemm_bench.cpp checks products

 private:
  struct Layer {
    std::int64_t inputs, units;
  };

  static Buffer<float> random(std::int64_t count) {
    Buffer<float> values(count);
    std::uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
    }
    return values;
  }

  template <class Block>
  void product(std::int64_t rows, const Block& block) {
    constexpr std::int64_t kRowBlock = 64;
    core::parallel_for(threads_, core::block_count(rows, kRowBlock), [&](std::int64_t task) {
      const std::int64_t first = task * kRowBlock;
      block(first, std::min(kRowBlock, rows - first));
    });
  }

  int threads_;
  std::int64_t batch_ = 0;
  std::vector<Layer> layers_;
  std::vector<Buffer<float>> weights_, activations_;
  Buffer<float> gradient_, result_;
};

}  // namespace
}  // namespace evenrow::bench

int main(int argc, char** argv) {
  using namespace evenrow::bench;
  const int threads = evenrow::core::resolve_threads(argc > 1 ? std::atoi(argv[1]) : 0);
  return serve({{"name", "Evenrow"}, {"version", EVENROW_BENCH_VERSION}, {"threads", threads}},
               [threads](const json& request) -> std::unique_ptr<Operation> {
                 if (request.at("op") == "products") {
                   return std::make_unique<Products>(request, threads);
                 }
                 return std::make_unique<Step>(request, threads);
               });
}
