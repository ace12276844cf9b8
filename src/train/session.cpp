#include "train/session.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/fail.hpp"
#include "core/random.hpp"
#include "core/sizes.hpp"
#include "core/threads.hpp"
#include "train/observe.hpp"

namespace evenrow::training {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMostSkipsInARow = 3;
constexpr std::int64_t kGatherBlock = 32;  // examples a task

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

NetworkSpec network_spec(const TrainOptions& options, std::int64_t inputs, std::int64_t outputs) {
  const DenseSpec like{.norm = options.norm,
                       .placement = options.norm_placement,
                       .activation = options.activation,
                       .dropout = options.dropout,
                       .eps = options.norm_eps,
                       .new_weight = options.norm_new_weight,
                       .initialization = options.initialization};
  const bool before_linear = options.norm_placement == NormPlacement::before_linear;
  NetworkSpec spec{.inputs = inputs, .blocks = {}};
  if (options.residual) {
    DenseSpec outside = like;
    outside.units = options.hidden[0];
    DenseSpec& first = spec.blocks.emplace_back(
        DenseSpec{.units = outside.units, .initialization = options.initialization});
    if (options.norm == Norm::batch) first.bias = false;  // all that read it normalize it
    append_residual_blocks(spec, outside, std::span(options.hidden).subspan(1));
  } else {
    for (const std::int64_t units : options.hidden) {
      DenseSpec& block = spec.blocks.emplace_back(like);
      block.units = units;
      if (before_linear && spec.blocks.size() == 1) block.norm = Norm::none;
    }
  }
  DenseSpec& output = spec.blocks.emplace_back(
      DenseSpec{.units = outputs, .initialization = options.initialization});
  if (before_linear && !options.hidden.empty()) {
    output.norm = options.norm;
    output.placement = options.norm_placement;
    output.eps = options.norm_eps;
    output.new_weight = options.norm_new_weight;
  }
  if (options.residual) output.input_activation = options.activation;
  return spec;
}

// Steps of an epoch over `rows` examples; see LastBatch.
std::int64_t count_steps(const TrainOptions& options, std::int64_t rows, bool normalizes) {
  const std::int64_t full = rows / options.batch_size, rest = rows % options.batch_size;
  if (rows == 1 && normalizes) {
    core::fail(ErrorKind::data, "one training row is not enough for batch norm; use two or more");
  }
  switch (options.last_batch) {
    case LastBatch::drop:
      if (full == 0) {
        core::fail(ErrorKind::usage,
                   "batch_size is {} and there are {} training rows: last_batch drop would leave "
                   "nothing; use a smaller batch_size, or last_batch merge",
                   options.batch_size, rows);
      }
      return full;
    case LastBatch::merge:
      return full + (rest > 1 || full == 0 ? 1 : 0);
    case LastBatch::keep:
      if (rest == 1 && normalizes) {
        core::fail(ErrorKind::usage,
                   "{} training rows in mini-batches of {} leave a last one of a single example, "
                   "which batch norm cannot normalize; use last_batch merge or drop",
                   rows, options.batch_size);
      }
      break;
  }
  return full + (rest > 0 ? 1 : 0);
}

}  // namespace

Session::Session(const Dataset& data, const TrainOptions& options, const Dataset* test)
    : Session(data, options, split_rows(data, options.validation, options.seed), test) {}

Session::Session(const Dataset& data, const TrainOptions& options, const Split& split,
                 const Dataset* test)
    : options_(options) {
  model_ = fit_model(data, options, split.training);
  options_.task = model_.task;
  options_.loss = model_.loss.kind;
  if (options_.learning_rate == 0.0) {
    options_.learning_rate = default_learning_rate(options_.optimizer.kind);
  }
  if (options_.residual) options_.norm_placement = NormPlacement::before_linear;
  options_.target = model_.target;

  training_ = encode(model_, data, split.training, options.threads);
  if (!split.validation.empty()) {
    validation_ = encode(model_, data, split.validation, options.threads);
  }
  if (test != nullptr) test_ = encode(model_, *test, all_rows(*test), options.threads);

  const bool one_output =
      model_.task == Task::regression || model_.loss.kind == LossKind::binary_cross_entropy;
  plan_.network =
      network_spec(options_, model_.inputs.inputs(), one_output ? 1 : std::ssize(model_.classes));
  state_.network = Network<float>(plan_.network, options_.seed);
  if (options_.init_scale != 1.0) {
    for (std::size_t b = 0; b < plan_.network.blocks.size(); ++b) {
      for (float& weight : state_.network.parameter(b, ParameterKind::weight)) {
        weight = static_cast<float>(options_.init_scale * static_cast<double>(weight));
      }
    }
  }
  state_.optimizer = Optimizer<float>(state_.network, options_.optimizer);
  plan_.task = model_.task;
  plan_.training_rows = training_.count;
  plan_.validation_rows = validation_.count;
  plan_.test_rows = test_.count;
  plan_.features = std::ssize(data.columns);
  plan_.parameters = std::ssize(state_.network.parameters());
  const bool normalizes = options_.norm == Norm::batch && !options_.hidden.empty();
  plan_.steps_per_epoch = count_steps(options_, training_.count, normalizes);

  // A merged last mini-batch has one example more than the others.
  const std::int64_t largest =
      options_.batch_size < training_.count ? options_.batch_size + 1 : training_.count;
  pass_.emplace(plan_.network, TrainingPassOptions{.loss = model_.loss,
                                                   .max_examples = largest,
                                                   .seed = options_.seed,
                                                   .threads = options_.threads,
                                                   .precision = options_.precision});
  batch_x_.resize(static_cast<std::size_t>(largest * plan_.network.inputs));
  batch_classes_.resize(static_cast<std::size_t>(largest));
  batch_values_.resize(static_cast<std::size_t>(largest));
}

bool Session::finished() const noexcept {
  const auto done = std::ssize(state_.epochs);
  const bool given_up = options_.early_stop > 0 && state_.best_epoch >= 0 &&
                        done - 1 - state_.best_epoch >= options_.early_stop;
  return done >= options_.epochs || given_up;
}

bool Session::run(TrainObserver& observer, const std::function<void()>& between_steps) {
  plan_.first_epoch = std::ssize(state_.epochs);
  observer.on_plan(plan_);
  while (!finished()) {
    const auto start = Clock::now();
    one_step(learning_rate_at(options_.schedule, options_.learning_rate, state_.step,
                              plan_.steps_per_epoch, options_.epochs),
             observer);
    const double seconds = seconds_since(start);
    state_.epoch_seconds += seconds;
    state_.step_seconds += seconds;
    if (state_.step % plan_.steps_per_epoch == 0) end_epoch(observer);
    const bool stop = observer.stop_requested();
    between_steps();
    if (stop && !finished()) return false;
  }
  return true;
}

void Session::one_step(double learning_rate, TrainObserver& observer) {
  const std::int64_t epoch = state_.step / plan_.steps_per_epoch;
  const std::int64_t in_epoch = state_.step % plan_.steps_per_epoch;
  if (order_epoch_ != epoch) {
    order_ = core::random_permutation(core::RandomStream(options_.seed, core::Purpose::shuffle,
                                                         static_cast<std::uint64_t>(epoch)),
                                      static_cast<std::uint32_t>(training_.count));
    order_epoch_ = epoch;
  }
  const std::int64_t first = in_epoch * options_.batch_size;
  const bool last = in_epoch + 1 == plan_.steps_per_epoch;
  const std::int64_t end = last && options_.last_batch != LastBatch::drop
                               ? training_.count
                               : first + options_.batch_size;
  const std::int64_t n = end - first, inputs = plan_.network.inputs;
  const int threads = core::resolve_threads(options_.threads);
  core::parallel_for(threads, core::block_count(n, kGatherBlock), [&](std::int64_t task) {
    for (std::int64_t i = task * kGatherBlock; i < std::min(n, (task + 1) * kGatherBlock); ++i) {
      const auto from = static_cast<std::size_t>(order_[static_cast<std::size_t>(first + i)]);
      const auto to = static_cast<std::size_t>(i);
      training_.inputs_of(from, inputs, batch_x_.data() + i * inputs);
      if (!training_.classes.empty()) batch_classes_[to] = training_.classes[from];
      if (!training_.values.empty()) batch_values_[to] = training_.values[from];
    }
  });

  const auto count = static_cast<std::size_t>(n);
  const MiniBatch<float> batch{
      .x = std::span(batch_x_).first(count * static_cast<std::size_t>(inputs)),
      .classes = std::span(batch_classes_).first(count),
      .values = std::span(batch_values_).first(count)};
  const auto number = static_cast<std::uint64_t>(state_.step);
  const bool observed = options_.observe > 0 && state_.step % options_.observe == 0;
  const PassResult result = observed ? pass_->run_observed(state_.network, batch, number)
                                     : pass_->run(state_.network, batch, number);
  if (observed) tell_observation(observer, batch.x, epoch);
  const StepMetrics metrics{.step = state_.step,
                            .epoch = epoch,
                            .loss = result.loss,
                            .learning_rate = learning_rate,
                            .gradient_norm = result.gradient_norm,
                            .skipped = !result.finite};
  ++state_.step;
  if (result.finite) {
    state_.optimizer.step(state_.network, pass_->gradients(), result.gradient_norm,
                          metrics.learning_rate, threads);
    pass_->commit(state_.network);
    state_.loss_sum += result.loss * static_cast<double>(n);
    state_.correct += result.correct;
    state_.examples += n;
    state_.skipped_in_a_row = 0;
  } else {
    pass_->discard();
    ++state_.skipped;
    ++state_.skipped_in_epoch;
    ++state_.skipped_in_a_row;
    observer.on_warning(
        fmt::format("step {} (epoch {}): loss or gradients are not finite; the step is skipped",
                    metrics.step + 1, epoch + 1));
  }
  observer.on_step(metrics);
  if (state_.skipped_in_a_row == kMostSkipsInARow) fail_not_finite(n, metrics.learning_rate);
}

void Session::tell_observation(TrainObserver& observer, std::span<const float> x,
                               std::int64_t epoch) {
  const auto start = Clock::now();
  Observation observation =
      observe(*pass_, state_.network, x, core::resolve_threads(options_.threads));
  observation.step = state_.step;
  observation.epoch = epoch;
  observation.seconds = seconds_since(start);
  observer.on_observation(observation);
  state_.observe_seconds += seconds_since(start);
}

// Names the most extreme input of the mini-batch: a file's flaw often shows there.
void Session::fail_not_finite(std::int64_t batch_examples, double learning_rate) const {
  const std::int64_t inputs = plan_.network.inputs;
  const auto values = std::span(batch_x_).first(static_cast<std::size_t>(batch_examples * inputs));
  const auto extreme = std::ranges::max_element(
      values, {}, [](float value) { return std::isnan(value) ? INFINITY : std::abs(value); });
  const auto at = static_cast<std::int64_t>(extreme - values.begin());
  const std::int64_t batch_size = batch_examples;
  const std::int64_t in_epoch = (state_.step - 1) % plan_.steps_per_epoch;
  const auto example = static_cast<std::size_t>(
      order_[static_cast<std::size_t>(in_epoch * options_.batch_size + at / inputs)]);
  std::int64_t input = at % inputs;
  std::string column;
  for (const Column& candidate : model_.inputs.columns()) {
    const std::int64_t width =
        candidate.kind == ColumnKind::numeric ? 1 : std::ssize(candidate.categories) + 1;
    if (input < width) {
      column = candidate.name;
      break;
    }
    input -= width;
  }
  core::fail(ErrorKind::training,
             "training stopped: loss or gradients were not finite in {} steps in a row (up to step "
             "{}). Lower the learning rate (now {:g}), or look at these inputs: in the last "
             "mini-batch of {} examples the most extreme value is {:g} standard deviations from "
             "its mean, in column '{}' of row {}",
             kMostSkipsInARow, state_.step, learning_rate, batch_size,
             static_cast<double>(std::abs(*extreme)) / options_.input_scale, column,
             std::uint64_t{training_.rows[example]} + 1);
}

void Session::end_epoch(TrainObserver& observer) {
  const auto start = Clock::now();
  EpochMetrics metrics;
  metrics.epoch = std::ssize(state_.epochs);
  const double examples = static_cast<double>(std::max<std::int64_t>(state_.examples, 1));
  metrics.training_loss = state_.loss_sum / examples;
  metrics.training_accuracy = static_cast<double>(state_.correct) / examples;
  metrics.skipped_steps = state_.skipped_in_epoch;
  if (validation_.count > 0) {
    std::swap(model_.network, state_.network);
    metrics.validation = evaluate_examples(model_, validation_, options_.threads);
    std::swap(model_.network, state_.network);
    if (options_.early_stop > 0 &&
        (state_.best_epoch < 0 || metrics.validation->loss < state_.best_loss)) {
      state_.best_epoch = metrics.epoch;
      state_.best_loss = metrics.validation->loss;
      state_.best = state_.network;
    }
  }
  metrics.seconds = state_.epoch_seconds + seconds_since(start);
  state_.seconds += metrics.seconds;
  state_.loss_sum = state_.epoch_seconds = 0;
  state_.correct = state_.examples = state_.skipped_in_epoch = 0;
  state_.epochs.push_back(metrics);
  observer.on_epoch(metrics);
}

TrainResult Session::finish(bool stopped) {
  TrainResult result;
  result.stopped = stopped;
  result.epochs = state_.epochs;
  result.skipped_steps = state_.skipped;
  result.seconds = state_.seconds + state_.epoch_seconds;
  result.step_seconds = state_.step_seconds;
  result.observe_seconds = state_.observe_seconds;
  model_.network = state_.best && !stopped ? std::move(*state_.best) : std::move(state_.network);
  if (!stopped) {
    result.training = evaluate_examples(model_, training_, options_.threads);
    if (validation_.count > 0) {
      result.validation = evaluate_examples(model_, validation_, options_.threads);
    }
    if (test_.count > 0) result.test = evaluate_examples(model_, test_, options_.threads);
  }
  result.model = std::move(model_);
  return result;
}

}  // namespace evenrow::training

namespace evenrow {

TrainResult train(const Dataset& data, const TrainOptions& options, const Dataset* test,
                  TrainObserver* observer) {
  check(options);
  training::Session session(data, options, test);
  TrainObserver silent;
  const bool done = session.run(observer != nullptr ? *observer : silent, [] {});
  return session.finish(!done);
}

}  // namespace evenrow
