// The ONNX project's own BatchNormalization cases: inputs and outputs are read from its files.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "norm_cases.hpp"
#include "onnx_subset.pb.h"

namespace evenrow {
namespace {

namespace fs = std::filesystem;

template <class Message>
Message read(const fs::path& file) {
  Message message;
  std::ifstream stream(file, std::ios::binary);
  EXPECT_TRUE(stream && message.ParseFromIstream(&stream)) << "cannot read " << file;
  return message;
}

struct OnnxTensor {
  std::vector<std::int64_t> dims;
  std::vector<float> values;
};

OnnxTensor read_tensor(const fs::path& file) {
  static_assert(std::endian::native == std::endian::little);
  const auto message = read<onnx_subset::TensorProto>(file);
  EXPECT_EQ(message.data_type(), 1) << file << " is not of float";
  OnnxTensor tensor{{message.dims().begin(), message.dims().end()},
                    {message.float_data().begin(), message.float_data().end()}};
  if (message.has_raw_data()) {
    tensor.values.resize(message.raw_data().size() / sizeof(float));
    std::memcpy(tensor.values.data(), message.raw_data().data(),
                tensor.values.size() * sizeof(float));
  }
  std::int64_t size = 1;
  for (const std::int64_t dim : tensor.dims) size *= dim;
  EXPECT_EQ(static_cast<std::int64_t>(tensor.values.size()), size) << file;
  return tensor;
}

// ONNX operator 15: x is [N, C, D1, ...]; attributes with their defaults.
struct OnnxNode {
  float epsilon = 1e-5f;
  float momentum = 0.9f;  // running = momentum * running + (1 - momentum) * batch
  bool training = false;
};

OnnxNode read_node(const fs::path& file) {
  const auto model = read<onnx_subset::ModelProto>(file);
  EXPECT_EQ(model.graph().node_size(), 1) << file;
  const auto& node = model.graph().node(0);
  EXPECT_EQ(node.op_type(), "BatchNormalization") << file;
  OnnxNode result;
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == "epsilon") {
      result.epsilon = attribute.f();
    } else if (attribute.name() == "momentum") {
      result.momentum = attribute.f();
    } else if (attribute.name() == "training_mode") {
      result.training = attribute.i() != 0;
    } else {
      ADD_FAILURE() << file << ": attribute " << attribute.name() << " is not known here";
    }
  }
  EXPECT_EQ(node.output_size(), result.training ? 3 : 1) << file;
  return result;
}

void expect_within(const std::vector<float>& expected, std::size_t i, Real value, Real error,
                   const std::string& what) {
  ASSERT_LT(i, expected.size()) << what;
  ASSERT_LE(std::abs(value - expected[i]), error) << what << " [" << i << "]";
}

// The files' outputs are computed by NumPy in float, x by x: the sums of n values by up to n
// roundings, then s * (x - mean) / sqrt(var + eps) + bias by one an operation. With A = s * (x -
// mean) / sqrt(var + eps) that is at most unit * ((n + 8) * |A| + n * |scale| * max|x| + |y|) in
// training and the same with n = 0 in inference; to it comes this operator's own error.
void expect_case_holds(const fs::path& folder) {
  SCOPED_TRACE(folder.string());
  const OnnxNode node = read_node(folder / "model.onnx");
  const fs::path data = folder / "test_data_set_0";
  const auto input = [&](int i) {
    return read_tensor(data / ("input_" + std::to_string(i) + ".pb"));
  };
  const OnnxTensor x = input(0), gamma = input(1), beta = input(2), mean = input(3), var = input(4);
  const OnnxTensor expected_y = read_tensor(data / "output_0.pb");
  ASSERT_GE(x.dims.size(), 2u);
  const std::int64_t outer = x.dims[0], channels = x.dims[1];
  const std::int64_t inner = static_cast<std::int64_t>(x.values.size()) / (outer * channels);

  NormCase<float> k(NormShape::channels_first(outer, channels, inner));
  k.x = x.values;
  k.gamma = gamma.values;
  k.beta = beta.values;
  k.options.eps = static_cast<double>(node.epsilon);
  std::vector<float> y(k.x.size());
  RunningStatistics running(channels, 1.0 - static_cast<double>(node.momentum));
  running.mean.assign(mean.values.begin(), mean.values.end());
  running.variance.assign(var.values.begin(), var.values.end());
  std::vector<double> used_mean = running.mean, used_variance = running.variance;
  if (node.training) {
    const auto saved = batch_norm_train<float>(
        {.x = k.x, .gamma = k.gamma, .beta = k.beta, .y = y, .shape = k.shape}, k.options);
    running.update(saved);
    used_mean.assign(saved.mean().begin(), saved.mean().end());
    used_variance.assign(saved.biased_variance().begin(), saved.biased_variance().end());
  } else {
    batch_norm_infer<float>({.x = k.x,
                             .gamma = k.gamma,
                             .beta = k.beta,
                             .mean = running.mean,
                             .variance = running.variance,
                             .y = y,
                             .shape = k.shape},
                            k.options);
  }

  const Real unit = oracle::kUnit<float>;
  const Real n = node.training ? static_cast<Real>(outer * inner) : 0;
  Real largest = 0;
  for (const float value : k.x) largest = std::max(largest, std::abs(Real{value}));
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const Real scale = k.gamma[i] / std::sqrt(used_variance[i] + static_cast<Real>(k.options.eps));
    for (std::int64_t j = 0; j < k.shape.columns(); ++j) {
      const std::size_t at = k.at(j, c);
      const Real a = (k.x[at] - static_cast<Real>(used_mean[i])) * scale;
      const Real numpy =
          (n + 8) * std::abs(a) + n * std::abs(scale) * largest + std::abs(a + k.beta[i]);
      // Folded or not, |x * scale| + |mean * scale| bounds what this operator adds up.
      const Real own =
          oracle::affine_error<float>(k.x[at] * scale, k.beta[i] - used_mean[i] * scale) +
          oracle::affine_error<float>(a, k.beta[i]);
      expect_within(expected_y.values, at, y[at], unit * numpy + own, "y");
    }
  }
  if (!node.training) return;
  const OnnxTensor expected_mean = read_tensor(data / "output_1.pb");
  const OnnxTensor expected_variance = read_tensor(data / "output_2.pb");
  for (std::size_t i = 0; i < k.gamma.size(); ++i) {
    // Sums of n values, two products and a sum; the variance's terms are squares around a mean that
    // is itself off by n * unit * max|x|, which moves it by no more than that, squared.
    const Real variance = used_variance[i];
    expect_within(expected_mean.values, i, running.mean[i],
                  unit * ((n + 4) * largest + 4 * std::abs(mean.values[i])), "output_mean");
    expect_within(expected_variance.values, i, running.variance[i],
                  unit * ((n + 8) * variance + 4 * var.values[i]) +
                      (n * unit * largest) * (n * unit * largest),
                  "output_var");
  }
}

TEST(OnnxCases, AllBatchNormalizationNodesPass) {
  const fs::path root = EVENROW_ONNX_CASES;
  ASSERT_TRUE(fs::is_directory(root))
      << root << " is missing: install the Debian package libonnx-testdata";
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("test_batchnorm_", 0) != 0) continue;
    found.push_back(name);
    expect_case_holds(entry.path());
  }
  std::sort(found.begin(), found.end());
  for (const std::string name :
       {"test_batchnorm_epsilon", "test_batchnorm_epsilon_training_mode", "test_batchnorm_example",
        "test_batchnorm_example_training_mode"}) {
    EXPECT_TRUE(std::binary_search(found.begin(), found.end(), name))
        << name << " is missing below " << root << ": reinstall the package libonnx-testdata";
  }
}

}  // namespace
}  // namespace evenrow
