// Training steps of Evenrow as a peer of bench/step_bench.py (see peer.hpp), and the matrix
// products of such a step alone: what no trainer on this library of products can go below.
//   bin/step_evenrow THREADS
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/threads.hpp"
#include "evenrow/optimizer.hpp"
#include "evenrow/training_pass.hpp"
#include "nn/step_products.hpp"
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

class Products final : public Operation {
 public:
  Products(const json& request, int threads)
      : products_(StepCase(request).network, StepCase(request).batch, threads) {}

  void run() override { products_.run(); }
  void write(const std::string&) const override {}  // gemm_bench.cpp checks products

 private:
  nn::StepProducts products_;
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
