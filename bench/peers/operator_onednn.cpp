// oneDNN's batch normalization as a peer of bench/operator_bench.py (see peer.hpp), for the
// interface of oneDNN 2.6 and that of oneDNN 3. A primitive is made once, in setup; a call is its
// execution alone. Threads are OpenMP's: OMP_NUM_THREADS.
//   bin/operator_onednn
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <algorithm>
#include <unordered_map>

#include "operator_case.hpp"

namespace evenrow::bench {
namespace {

using dnnl::memory;
using dnnl::normalization_flags;
using dnnl::prop_kind;
using ForwardDesc = dnnl::batch_normalization_forward::primitive_desc;
using BackwardDesc = dnnl::batch_normalization_backward::primitive_desc;

// One engine and one stream for all.
struct Runtime {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

memory::data_type type_of(const Case& c) {
  if (c.type == "f32") return memory::data_type::f32;
  if (c.type == "bf16") return memory::data_type::bf16;
  if (c.type == "f16") return memory::data_type::f16;
  throw Unsupported("no type " + c.type);
}

// Feature-major is NCHW with one image of one line; row-major dense is NHWC with images of one
// pixel, because 2.6 takes a generic loop for the two-dimensional tag of the same memory: 10 to 20
// times slower.
memory::desc layout_of(const Case& c) {
  using Tag = memory::format_tag;
  const memory::dims dims{c.batch, c.channels, 1, c.positions};
  return {dims, type_of(c), c.channels_last() ? Tag::nhwc : Tag::nchw};
}

normalization_flags flags_of(const Case& c) {
  normalization_flags flags = normalization_flags::use_scale | normalization_flags::use_shift;
  if (c.op == "infer") flags |= normalization_flags::use_global_stats;
  if (c.residual) {
#if DNNL_VERSION_MAJOR >= 3
    if (!c.relu) throw Unsupported("a residual without relu");
    flags |= normalization_flags::fuse_norm_add_relu;
#else
    throw Unsupported("a residual: not in this interface");
#endif
  } else if (c.relu) {
    flags |= normalization_flags::fuse_norm_relu;
  }
  return flags;
}

ForwardDesc forward_desc(const Case& c, const Runtime& runtime) {
  const auto kind = c.op == "infer" ? prop_kind::forward_inference : prop_kind::forward_training;
  const auto data = layout_of(c);
  const auto eps = static_cast<float>(c.eps);
#if DNNL_VERSION_MAJOR >= 3
  return {runtime.engine, kind, data, data, eps, flags_of(c)};
#else
  return {{kind, data, eps, flags_of(c)}, runtime.engine};
#endif
}

BackwardDesc backward_desc(const Case& c, const Runtime& runtime, const ForwardDesc& forward) {
  const auto data = layout_of(c);
  const auto eps = static_cast<float>(c.eps);
#if DNNL_VERSION_MAJOR >= 3
  return {runtime.engine, prop_kind::backward, data, data, data, eps, flags_of(c), forward};
#else
  return {{prop_kind::backward, data, data, eps, flags_of(c)}, runtime.engine, forward};
#endif
}

class Normalization : public Operation {
 public:
  // A descriptor that oneDNN does not implement is an Unsupported.
  template <class Make>
  static auto supported(const Make& make) {
    try {
      return make();
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_unimplemented) throw Unsupported(error.what());
      throw;
    }
  }

  void run() override { run_forward(); }
  void write(const std::string& folder) const override { keep("y", folder); }
  std::string implementation() const override { return forward_desc_.impl_info_str(); }

 protected:
  using Arguments = std::unordered_map<int, memory>;

  Normalization(const Case& c, Runtime& runtime)
      : case_(c),
        runtime_(runtime),
        forward_desc_(supported([&] { return forward_desc(c, runtime); })),
        forward_(forward_desc_) {
    const memory::desc data = forward_desc_.src_desc();
    forward_arguments_ = {{DNNL_ARG_SRC, input("x", data)},
                          {DNNL_ARG_DST, result("y", data)},
                          {DNNL_ARG_SCALE, input("gamma", channels())},
                          {DNNL_ARG_SHIFT, input("beta", channels())},
                          {DNNL_ARG_MEAN, statistics("mean")},
                          {DNNL_ARG_VARIANCE, statistics("variance")}};
#if DNNL_VERSION_MAJOR >= 3
    if (c.residual) forward_arguments_[DNNL_ARG_SRC_1] = input("residual", data);
#endif
    if (const memory::desc space = forward_desc_.workspace_desc(); space.get_size() > 0) {
      forward_arguments_[DNNL_ARG_WORKSPACE] = result("workspace", space);
    }
  }

  void run_forward() {
    forward_.execute(runtime_.stream, forward_arguments_);
    runtime_.stream.wait();
  }

  memory::desc channels() const {
    return {{case_.channels}, memory::data_type::f32, memory::format_tag::a};
  }
  memory statistics(const std::string& name) {
    return case_.op == "infer" ? input(name, channels()) : result(name, channels());
  }
  memory input(const std::string& name, const memory::desc& desc) {
    return hold(
        name, desc,
        Buffer<char>(static_cast<std::int64_t>(desc.get_size()), case_.data + "/" + name + ".bin"));
  }
  memory result(const std::string& name, const memory::desc& desc) {
    return hold(name, desc, Buffer<char>(static_cast<std::int64_t>(desc.get_size())));
  }
  void keep(const std::string& name, const std::string& folder) const {
    buffers_.at(name).write(folder + "/" + name + ".bin");
  }

  const Case case_;
  Runtime& runtime_;
  const ForwardDesc forward_desc_;
  const dnnl::batch_normalization_forward forward_;
  Arguments forward_arguments_;
  std::map<std::string, Buffer<char>> buffers_;

 private:
  memory hold(const std::string& name, const memory::desc& desc, Buffer<char> buffer) {
    char* const values = (buffers_[name] = std::move(buffer)).data();
    return {desc, runtime_.engine, values};
  }
};

class Forward final : public Normalization {
 public:
  Forward(const Case& c, Runtime& runtime) : Normalization(c, runtime) {}
};

class Chain final : public Normalization {
 public:
  Chain(const Case& c, Runtime& runtime) : Normalization(c, runtime) {
    if (c.type != "f32") throw Unsupported("chain: f32 alone");
  }
  void run() override {
    run_forward();
    const auto* const y = reinterpret_cast<const float*>(buffers_.at("y").data());
    constexpr std::int64_t kBlock = 16384;
    const std::int64_t size = case_.size();
    double sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum)
    for (std::int64_t first = 0; first < size; first += kBlock) {
      sum += static_cast<double>(sum_of(y + first, std::min(kBlock, size - first)));
    }
    sum_ = sum;
  }
  void write(const std::string& folder) const override {
    keep("y", folder);
    std::ofstream(folder + "/sum.txt") << sum_;
  }

 private:
  double sum_ = 0;
};

class Backward final : public Normalization {
 public:
  Backward(const Case& c, Runtime& runtime)
      : Normalization(c, runtime),
        desc_(supported([&] { return backward_desc(c, runtime, forward_desc_); })),
        backward_(desc_) {
    run_forward();
    arguments_ = forward_arguments_;
    arguments_.erase(DNNL_ARG_DST);
    buffers_.erase("y");
    const memory::desc data = forward_desc_.src_desc();
    arguments_[DNNL_ARG_DIFF_DST] = input("dy", data);
    arguments_[DNNL_ARG_DIFF_SRC] = result("dx", data);
    arguments_[DNNL_ARG_DIFF_SCALE] = result("dgamma", channels());
    arguments_[DNNL_ARG_DIFF_SHIFT] = result("dbeta", channels());
#if DNNL_VERSION_MAJOR >= 3
    arguments_.erase(DNNL_ARG_SHIFT);  // no longer an input here
    if (c.residual) arguments_[DNNL_ARG_DIFF_SRC_1] = result("dresidual", data);
#endif
  }

  void run() override {
    backward_.execute(runtime_.stream, arguments_);
    runtime_.stream.wait();
  }
  void write(const std::string& folder) const override {
    for (const char* name : {"dx", "dgamma", "dbeta"}) keep(name, folder);
    if (case_.residual) keep("dresidual", folder);
  }
  std::string implementation() const override {
    return desc_.impl_info_str();
  }

 private:
  const BackwardDesc desc_;
  const dnnl::batch_normalization_backward backward_;
  Arguments arguments_;
};

std::unique_ptr<Operation> make(const Case& c, Runtime& runtime) {
  if (!c.lengths.empty()) throw Unsupported("lengths");
  if (c.op == "forward" || c.op == "infer") return std::make_unique<Forward>(c, runtime);
  if (c.op == "chain") return std::make_unique<Chain>(c, runtime);
  if (c.op == "backward") return std::make_unique<Backward>(c, runtime);
  throw Unsupported("no operation " + c.op);
}

}  // namespace
}  // namespace evenrow::bench

int main() {
  using namespace evenrow::bench;
  const dnnl_version_t* const version = dnnl_version();
  const std::string number = std::to_string(version->major) + "." + std::to_string(version->minor) +
                             "." + std::to_string(version->patch);
  Runtime runtime;
  return serve({{"name", "oneDNN"}, {"version", number}, {"threads", omp_get_max_threads()}},
               [&runtime](const json& request) { return make(Case(request), runtime); });
}
