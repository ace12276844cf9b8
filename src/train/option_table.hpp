// The one table of training options: key, field, and what it means. Configuration files, the
// command line and their help are all made from it; a key's long option is the key with '-' for
// '_'.
#pragma once

#include "evenrow/train.hpp"

namespace evenrow::training {

/// Calls visit(key, field, help) for every option, in the order in which people read them. Fields
/// are std::string, enumerations with names, std::optional<LossKind> (empty: "auto"), double, bool,
/// std::int64_t, std::uint64_t, int and std::vector<std::int64_t>. Options: TrainOptions, or const.
template <class Options, class Visitor>
void visit_options(Options& o, Visitor&& visit) {
  visit("data", o.data, "training data: a CSV, npy, npz or IDX file, or fashion-mnist");
  visit("test", o.test, "test data, evaluated once at the end (fashion-mnist brings its own)");
  visit("target", o.target, "column to predict, by name; empty: the last");
  visit("task", o.task, "what kind of prediction; auto: by the target column");
  visit("hidden", o.hidden, "units of the hidden layers");
  visit("residual", o.residual,
        "residual network: a linear layer, then a residual block for each further hidden layer");
  visit("norm", o.norm, "normalization of the hidden layers");
  visit("norm_placement", o.norm_placement,
        "where to normalize: before or after the activation, or what a layer reads (before_linear, "
        "which residual networks do)");
  visit("norm_eps", o.norm_eps, "added to the variance");
  visit("norm_new_weight", o.norm_new_weight,
        "weight of the new batch in the running statistics, in (0, 1]");
  visit("activation", o.activation, "activation of the hidden layers");
  visit("dropout", o.dropout, "probability of dropping a hidden unit, in [0, 1)");
  visit("initialization", o.initialization,
        "initial weights; auto: he for relu, leaky_relu and gelu");
  visit("init_scale", o.init_scale, "factor of all initial weights");
  visit("input_scale", o.input_scale, "standard deviation of the normalized inputs");
  visit("loss", o.loss, "loss; auto: cross_entropy for classes, squared_error for numbers");
  visit("label_smoothing", o.label_smoothing, "label smoothing of cross_entropy, in [0, 1)");
  visit("huber_delta", o.huber_delta, "where huber turns linear, in target standard deviations");
  visit("optimizer", o.optimizer.kind, "optimizer");
  visit("lr", o.learning_rate,
        "learning rate; 0: 0.1 sgd, 0.02 momentum and nesterov, 0.001 others");
  visit("momentum", o.optimizer.momentum, "momentum of momentum and nesterov, in [0, 1)");
  visit("rho", o.optimizer.rho, "decay of rmsprop's average, in [0, 1)");
  visit("beta1", o.optimizer.beta1, "decay of adam's first moment, in [0, 1)");
  visit("beta2", o.optimizer.beta2, "decay of adam's second moment, in [0, 1)");
  visit("optimizer_eps", o.optimizer.eps, "added to the root in rmsprop and adam");
  visit("weight_decay", o.optimizer.weight_decay, "weight decay of weights");
  visit("decay_all", o.optimizer.decay_all, "weight decay of gamma, beta and biases too");
  visit("clip_norm", o.optimizer.clip_norm, "largest norm of all gradients together; 0: no limit");
  visit("schedule", o.schedule.kind, "learning rate over time");
  visit("warmup", o.schedule.warmup_epochs, "epochs of linear warmup");
  visit("step_epochs", o.schedule.step_epochs, "epochs between the steps of schedule step");
  visit("step_factor", o.schedule.step_factor, "factor at every step of schedule step");
  visit("batch_size", o.batch_size, "examples in a mini-batch");
  visit("last_batch", o.last_batch,
        "a smaller last mini-batch; merge: a single example joins the one before");
  visit("epochs", o.epochs, "passes over the training data");
  visit("early_stop", o.early_stop,
        "stop after so many epochs without a better validation loss, keep the best; 0: never");
  visit("validation", o.validation, "part of the training data held out, in [0, 1)");
  visit("observe", o.observe,
        "every so many steps record what batch norm does (observations.jsonl); 0: never");
  visit("seed", o.seed, "seed of weights, shuffles and dropout");
  visit("precision", o.precision,
        "operands of matrix products in training; bf16: faster where the processor has it");
  visit("threads", o.threads, "threads; 0: all; never changes a result");
}

}  // namespace evenrow::training
