// evenrow bench: what this machine does, beside its own limits.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "command.hpp"
#include "core/caches.hpp"
#include "core/fail.hpp"
#include "core/threads.hpp"
#include "describe.hpp"
#include "evenrow/batch_norm.hpp"
#include "evenrow/inference_pass.hpp"
#include "evenrow/optimizer.hpp"
#include "evenrow/training_pass.hpp"
#include "help.hpp"
#include "io/atomic_file.hpp"
#include "kernels/gemm.hpp"
#include "kernels/targets.hpp"
#include "nn/step_products.hpp"
#include "output.hpp"
#include "report/numbers.hpp"
#include "report/table.hpp"
#include "report/terminal.hpp"
#include "signals.hpp"
#include "stopwatch.hpp"

namespace evenrow::cli {
namespace {

using nlohmann::ordered_json;
using report::Align;

struct BenchArguments {
  int threads = 0;
  double seconds = 30;
  std::string json;
};

struct Interrupted {};

// "12.3 us", "4.56 ms": three digits.
std::string short_time(double seconds) {
  const double exponent = std::floor(std::log10(seconds));
  if (exponent < -3) return report::number(seconds * 1e6, 3) + " us";
  if (exponent < 0) return report::number(seconds * 1e3, 3) + " ms";
  return report::number(seconds, 3) + " s";
}

std::string ratio(double value) {
  return fmt::format("{:.2f}", value);
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

using nn::some_values;

class Bench {
 public:
  explicit Bench(const BenchArguments& arguments)
      : threads_(core::resolve_threads(arguments.threads)),
        part_seconds_(arguments.seconds / kParts),
        terminal_(report::terminal(STDERR_FILENO)),
        status_(STDERR_FILENO, terminal_) {
    kernels::apply_target_environment();
    catch_stop_signals();
  }

  Exit run(const std::string& json_path) {
    try {
      machine();
      report::Table operators({{.header = "operator, float", .align = Align::left},
                               {.header = "shape", .align = Align::left},
                               {.header = "forward"},
                               {.header = "/ copy"},
                               {.header = "backward"},
                               {.header = "/ copy"},
                               {.header = "infer"},
                               {.header = "/ copy"}});
      operation(operators, "dense", NormShape::row_major(256, 1024));
      operation(operators, "NCHW", NormShape::channels_first(16, 64, 56 * 56));
      operation(operators, "NHWC", NormShape::channels_last(16, 56 * 56, 64));
      text_ += "\n" + operators.text();
      report::Table steps({{.header = "training step", .align = Align::left},
                           {.header = "batch"},
                           {.header = "norm"},
                           {.header = "none"},
                           {.header = "ratio"},
                           {.header = "products"},
                           {.header = "ratio"},
                           {.header = "bf16"}});
      step(steps, {784, {256, 128}, 10}, 128);
      step(steps, {512, {512, 512, 512, 512}, 10}, 256);
      step(steps, {1024, {1024, 1024}, 10}, 256);
      text_ += "\n" + steps.text();
      inference();
    } catch (const Interrupted&) {
      status_.clear();
      write_note("interrupted; nothing was measured to the end");
      return Exit::interrupted;
    }
    status_.clear();
    if (!json_path.empty()) io::write_file_atomically(json_path, json_.dump(2) + "\n");
    write_result(text_);
    return Exit::success;
  }

 private:
  static constexpr int kParts = 8;

  struct Dense {
    std::int64_t inputs;
    std::vector<std::int64_t> hidden;
    std::int64_t outputs;
    NetworkSpec spec(Norm norm) const {
      NetworkSpec spec{.inputs = inputs, .blocks = {}};
      for (const std::int64_t units : hidden) {
        spec.blocks.push_back({.units = units, .norm = norm, .activation = Activation::relu});
      }
      spec.blocks.push_back({.units = outputs});
      return spec;
    }
  };

  // The next of kParts parts: its operations' median times.
  std::vector<double> measure(const std::string& label,
                              const std::vector<std::function<void()>>& operations) {
    const int part = part_++;
    if (!terminal_.interactive) write_note(fmt::format("{} ({} of {})", label, part + 1, kParts));
    return median_times(operations, part_seconds_, [&](double done) {
      if (stop_signal_seen()) throw Interrupted();
      const double fraction = (part + done) / kParts;
      status_.show(report::progress_line(
          label, fraction, report::duration((1 - fraction) * part_seconds_ * kParts) + " left",
          terminal_.width));
    });
  }

  std::function<void()> copy(const AlignedVector<float>& from, AlignedVector<float>& to) const {
    return [&from, &to, threads = threads_] {
      core::parallel_shares(threads, std::ssize(from), [&](std::int64_t first, std::int64_t last) {
        std::memcpy(to.data() + first, from.data() + first,
                    static_cast<std::size_t>(last - first) * sizeof(float));
      });
    };
  }

  void machine() {
    constexpr std::int64_t kValues = 16 << 20;  // 64 MiB, beyond most caches
    const AlignedVector<float> from = some_values(kValues);
    AlignedVector<float> to(from.size());
    // Three square layers over a batch as large: products that a library does best.
    nn::StepProducts products({1024, {DenseSpec{.units = 1024}, DenseSpec{.units = 1024}}}, 1024,
                              threads_);
    const auto times = measure("machine", {copy(from, to), [&] { products.run(); }});
    const double bytes = 8.0 * static_cast<double>(kValues) / times[0] * 1e-9;
    const double flops = products.operations() / times[1] * 1e-9;
    const auto& caches = core::cache_sizes();
    report::Table table({{.align = Align::left}, {.align = Align::left, .widest = 60}});
    table.add_row({"evenrow", EVENROW_VERSION});
    table.add_row({"processor", processor_name()});
    table.add_row({"threads", fmt::format("{} of {}", threads_, core::available_threads())});
    table.add_row({"SIMD", kernels::running_target()});
    table.add_row({"caches", fmt::format("{} KiB a core, {} MiB shared", caches.core >> 10,
                                         caches.shared >> 20)});
    table.add_row(
        {"copy", fmt::format("{} GB/s, read and written, 64 MiB", report::number(bytes, 3))});
    table.add_row({"products",
                   fmt::format("{} GFLOP/s, float, 1024 x 1024 x 1024", report::number(flops, 3))});
    text_ += table.text();
    json_["version"] = EVENROW_VERSION;
    json_["processor"] = processor_name();
    json_["threads"] = threads_;
    json_["simd"] = kernels::running_target();
    json_["copy_gb_s"] = bytes;
    json_["products_gflop_s"] = flops;
  }

  void operation(report::Table& table, const std::string& layout, const NormShape& shape) {
    const std::int64_t values = shape.outer * shape.channels * shape.inner;
    const AlignedVector<float> x = some_values(values), dy = some_values(values);
    AlignedVector<float> y(x.size()), dx(x.size());
    const auto channels = static_cast<std::size_t>(shape.channels);
    const std::vector<float> gamma(channels, 1.0f), beta(channels, 0.0f);
    std::vector<float> dgamma(channels), dbeta(channels);
    const std::vector<double> mean(channels, 0.1), variance(channels, 0.9);
    const NormOptions options{.threads = threads_};
    BatchNormSaved saved = batch_norm_train<float>(
        {.x = x, .gamma = gamma, .beta = beta, .y = y, .shape = shape}, options);
    const auto times = measure(
        layout, {copy(x, y),
                 [&] {
                   saved = batch_norm_train<float>(
                       {.x = x, .gamma = gamma, .beta = beta, .y = y, .shape = shape}, options);
                 },
                 [&] {
                   batch_norm_backward<float>({.x = x,
                                               .dy = dy,
                                               .gamma = gamma,
                                               .beta = beta,
                                               .dx = dx,
                                               .dgamma = dgamma,
                                               .dbeta = dbeta},
                                              saved);
                 },
                 [&] {
                   batch_norm_infer<float>({.x = x,
                                            .gamma = gamma,
                                            .beta = beta,
                                            .mean = mean,
                                            .variance = variance,
                                            .y = y,
                                            .shape = shape},
                                           options);
                 }});
    const std::string size = shape.inner > 1
                                 ? fmt::format("{}x{}x{}", shape.outer, shape.channels, shape.inner)
                                 : fmt::format("{}x{}", shape.outer, shape.channels);
    std::vector<std::string> cells{layout, size};
    for (std::size_t i = 1; i < times.size(); ++i) {
      cells.push_back(short_time(times[i]));
      cells.push_back(ratio(times[i] / times[0]));
    }
    table.add_row(std::move(cells));
    json_["operator"].push_back({{"layout", layout},
                                 {"shape", size},
                                 {"copy_s", times[0]},
                                 {"forward_s", times[1]},
                                 {"backward_s", times[2]},
                                 {"infer_s", times[3]}});
  }

  void step(report::Table& table, const Dense& dense, std::int64_t batch) {
    struct Training {
      Network<float> network;
      TrainingPass<float> pass;
      Optimizer<float> optimizer;
      std::uint64_t number = 0;
      Training(const NetworkSpec& spec, std::int64_t examples, int threads,
               Precision precision = Precision::f32)
          : network(spec, 1),
            pass(spec, {.max_examples = examples, .threads = threads, .precision = precision}),
            optimizer(network, {.kind = OptimizerKind::adam}) {}
    };
    const NetworkSpec spec = dense.spec(Norm::batch);
    Training with(spec, batch, threads_), without(dense.spec(Norm::none), batch, threads_);
    nn::StepProducts products(spec, batch, threads_);
    std::optional<Training> half;
    if (kernels::HalfGemm::available()) half.emplace(spec, batch, threads_, Precision::bf16);
    const AlignedVector<float> x = some_values(batch * dense.inputs);
    std::vector<std::int32_t> classes;
    for (std::int64_t i = 0; i < batch; ++i) {
      classes.push_back(static_cast<std::int32_t>(i % dense.outputs));
    }
    const auto one = [&](Training& t) {
      const PassResult result = t.pass.run(t.network, {.x = x, .classes = classes}, t.number++);
      // So small a rate that the network stays as it is, however often it is run.
      t.optimizer.step(t.network, t.pass.gradients(), result.gradient_norm, 1e-12, threads_);
      t.pass.commit(t.network);
    };
    const std::string name = network_text(spec);
    std::vector<std::function<void()>> operations{[&] { one(with); }, [&] { one(without); },
                                                  [&] { products.run(); }};
    if (half) operations.emplace_back([&] { one(*half); });
    const auto times = measure(name, operations);
    table.add_row({name, report::count(batch), short_time(times[0]), short_time(times[1]),
                   ratio(times[0] / times[1]), short_time(times[2]), ratio(times[0] / times[2]),
                   half ? short_time(times[3]) : "-"});
    json_["step"].push_back({{"network", name},
                             {"batch", batch},
                             {"batch_norm_s", times[0]},
                             {"none_s", times[1]},
                             {"products_s", times[2]},
                             {"bf16_s", half ? ordered_json(times[3]) : ordered_json(nullptr)}});
  }

  void inference() {
    const Dense dense{784, {256, 128}, 10};
    const AlignedVector<float> x = some_values(1024 * dense.inputs);
    AlignedVector<float> y(static_cast<std::size_t>(1024 * dense.outputs));
    const Network<float> network(dense.spec(Norm::batch), 1);
    InferencePass<float> single(network),
        many(network, {.max_examples = 1024, .threads = threads_});
    const std::span<const float> first(x.data(), static_cast<std::size_t>(dense.inputs));
    const std::span<float> result(y.data(), static_cast<std::size_t>(dense.outputs));
    // The products of the many alone, called as in the pass: 256 examples a task.
    std::vector<AlignedVector<float>> outputs(4, some_values(256 * 256));
    const auto products = [&] {
      core::parallel_for(threads_, std::ssize(outputs), [&](std::int64_t task) {
        float* const to = outputs[static_cast<std::size_t>(task)].data();
        const float* from = x.data() + task * 256 * dense.inputs;
        for (std::size_t b = 0; b < network.spec().blocks.size(); ++b) {
          const std::int64_t units = network.spec().blocks[b].units;
          const std::int64_t inputs = network.spec().inputs_of(b);
          kernels::gemm(kernels::Transpose::no, kernels::Transpose::yes, 256, units, inputs, from,
                        inputs, network.parameter(b, ParameterKind::weight).data(), inputs, to,
                        units);
          from = x.data();
        }
      });
    };
    const auto times = measure(
        "inference", {[&] { single.run(first, result); }, [&] { many.run(x, y); }, products});
    const std::string name = network_text(network.spec());
    report::Table table({{.header = "inference", .align = Align::left},
                         {.header = "one, one thread"},
                         {.header = "1,024"},
                         {.header = "products"},
                         {.header = "ratio"}});
    table.add_row({name, short_time(times[0]), short_time(times[1]), short_time(times[2]),
                   ratio(times[1] / times[2])});
    text_ += "\n" + table.text();
    json_["inference"] = {{"network", name},
                          {"one_s", times[0]},
                          {"batch_1024_s", times[1]},
                          {"products_1024_s", times[2]}};
  }

  const int threads_;
  const double part_seconds_;
  const report::Terminal terminal_;
  report::StatusLine status_;
  int part_ = 0;
  std::string text_;
  ordered_json json_;
};

Exit run(const BenchArguments& arguments) {
  if (!(arguments.seconds > 0 && arguments.seconds <= 3600)) {
    core::fail(ErrorKind::usage, "--seconds is {}, expected above 0 and at most 3600",
               arguments.seconds);
  }
  return Bench(arguments).run(arguments.json);
}

}  // namespace

Command add_bench(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "bench", "bench [OPTION]...",
      "Measures this machine: its limits, and how near to them Evenrow comes.\n\n"
      "A copy of a tensor of the same size is the limit of the operator, the matrix products "
      "alone are that of a training step; both are measured beside it, in turn, and the ratios "
      "are of medians. norm and none: a step with and without batch norm; bf16: with batch norm "
      "and --precision bf16, where the processor has it. Quote the whole output in a report about "
      "speed. Other work on the machine "
      "shows in every figure.",
      "evenrow bench\n"
      "evenrow bench --threads 1 --json one-thread.json");
  auto arguments = std::make_shared<BenchArguments>();
  add_threads_option(*parser, arguments->threads);
  parser->add_option("--seconds", arguments->seconds, "Time to take for it all, about.")
      ->type_name("S")
      ->capture_default_str();
  parser->add_option("--json", arguments->json, "Also write the figures, in seconds, to FILE.")
      ->type_name("FILE");
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
