// Networks of dense blocks: plain-data specification, parameters, inference.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evenrow/activation.hpp"
#include "evenrow/aligned.hpp"
#include "evenrow/batch_norm.hpp"

namespace evenrow {

enum class Norm { none, batch };
enum class NormPlacement { before_activation, after_activation, before_linear };

/// Standard deviation of the initial (normal) weights: he: sqrt(2 / inputs) (He et al., 2015);
/// xavier: sqrt(2 / (inputs + units)) (Glorot and Bengio, 2010); automatic: he for relu, leaky_relu
/// and gelu, xavier for the others.
enum class Initialization { automatic, he, xavier };

/// One dense block. Plain data. What it reads goes through these, each where it is asked for:
///   before_activation (the default)  linear -> norm -> activation -> dropout
///   after_activation                 linear -> activation -> norm -> dropout
///   before_linear                    norm -> input_activation -> linear -> activation -> dropout
/// and then, with `residual`, what an earlier block has read is added. before_linear and `residual`
/// make the pre-activation networks of He et al. (2016, "Identity mappings") and the ResNet for
/// tables of Gorishniy et al. (2021, section 3.2); append_residual_blocks() writes those down.
struct DenseSpec {
  std::int64_t units = 0;
  Norm norm = Norm::none;
  NormPlacement placement = NormPlacement::before_activation;
  Activation activation = Activation::none;
  double dropout = 0.0;  ///< Probability that an output is dropped in training; [0, 1).
  /// Left empty: a bias, unless batch norm directly follows, whose beta makes it redundant.
  /// `true` directly before batch norm is refused.
  std::optional<bool> bias{};
  double eps = 1e-5;        ///< As in NormOptions.
  double new_weight = 0.1;  ///< As in RunningStatistics.
  Initialization initialization = Initialization::automatic;
  /// Applied to what the block reads, after a norm that stands before the linear part.
  Activation input_activation = Activation::none;
  /// k > 0: to the output is added, unit by unit, what the block k - 1 blocks earlier has read,
  /// before anything was done to it; 1 is this block's own input. 0: nothing is added.
  std::int64_t residual = 0;

  bool has_bias() const {
    return bias.value_or(norm == Norm::none || placement != NormPlacement::before_activation);
  }
  friend bool operator==(const DenseSpec&, const DenseSpec&) = default;
};

struct NetworkSpec {
  std::int64_t inputs = 0;
  std::vector<DenseSpec> blocks;

  std::int64_t outputs() const { return blocks.empty() ? inputs : blocks.back().units; }
  /// What a block reads: the units of the one before it.
  std::int64_t inputs_of(std::size_t block) const {
    return block == 0 ? inputs : blocks[block - 1].units;
  }
  /// Channels of a block's norm: its inputs or its units, by the placement; 0 without a norm.
  std::int64_t norm_channels(std::size_t block) const {
    if (blocks[block].norm == Norm::none) return 0;
    return blocks[block].placement == NormPlacement::before_linear ? inputs_of(block)
                                                                   : blocks[block].units;
  }
  friend bool operator==(const NetworkSpec&, const NetworkSpec&) = default;
};

/// Appends the residual blocks of Gorishniy et al. (2021): for each of `inner` two dense blocks,
///   norm -> linear -> activation -> dropout -> linear -> dropout -> + what the first one has read
/// with so many units inside and `like.units` outside. `like` has norm, activation, dropout and
/// whatever else the blocks share. With batch norm the second linear part has no bias (nor needs
/// the block before the first one any): whatever reads their sum normalizes it, so that its
/// gradient would be 0.
void append_residual_blocks(NetworkSpec& spec, const DenseSpec& like,
                            std::span<const std::int64_t> inner);

/// Throws (usage) and says which block and why when a network cannot be built from `spec`: no
/// blocks, sizes below 1 or too large, dropout outside [0, 1), eps or new_weight out of range, a
/// bias directly before batch norm; a norm or activation before the first linear part (the inputs
/// of a network come normalized), a residual connection from the network's inputs, between blocks
/// of unequal units, or across another one.
void check(const NetworkSpec& spec);

enum class ParameterKind { weight, bias, gamma, beta };

/// Where a parameter tensor lies in the flat parameter vector.
struct ParameterSlot {
  std::string name;  ///< "blocks.0.weight", "blocks.0.gamma", ...
  ParameterKind kind = ParameterKind::weight;
  std::int64_t offset = 0;
  std::int64_t rows = 0;     ///< Units of the block; of gamma and beta the channels of its norm.
  std::int64_t columns = 1;  ///< Inputs of the block for a weight, else 1.

  std::int64_t size() const { return rows * columns; }
};

/// A network: its specification, all its parameters in one flat vector, and the running statistics
/// of its batch norms. A value: copies are independent. T: float, double.
template <class T>
class Network {
 public:
  Network() = default;
  /// Initial weights are functions of (seed, block, position); gamma 1, beta 0, bias 0.
  /// Errors: see check().
  Network(NetworkSpec spec, std::uint64_t seed);

  const NetworkSpec& spec() const noexcept { return spec_; }
  std::int64_t inputs() const noexcept { return spec_.inputs; }
  std::int64_t outputs() const noexcept { return spec_.outputs(); }

  /// All trained numbers, in the order of slots().
  std::span<T> parameters() noexcept { return parameters_; }
  std::span<const T> parameters() const noexcept { return parameters_; }
  const std::vector<ParameterSlot>& slots() const noexcept { return slots_; }
  /// One tensor, row-major; empty when the block has none of this kind.
  std::span<T> parameter(std::size_t block, ParameterKind kind) noexcept;
  std::span<const T> parameter(std::size_t block, ParameterKind kind) const noexcept;

  /// Running statistics of a block's batch norm; without channels where it has none.
  RunningStatistics& running(std::size_t block) { return running_.at(block); }
  const RunningStatistics& running(std::size_t block) const { return running_.at(block); }

  /// Inference with running statistics: x row-major [examples, inputs()], y row-major
  /// [examples, outputs()], no overlap. Batch norm is folded into one multiply-add a value.
  /// Thread-safe: `const`, scratch memory of its own; InferencePass keeps that memory from call to
  /// call. Errors: sizes that do not match.
  void infer(std::span<const T> x, std::span<T> y, int threads = 0) const;

 private:
  NetworkSpec spec_;
  std::vector<ParameterSlot> slots_;
  AlignedVector<T> parameters_;
  std::vector<RunningStatistics> running_;
};

}  // namespace evenrow
