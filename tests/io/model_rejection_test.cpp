// What load_model() refuses, each with its message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "io/model_file.hpp"
#include "models.hpp"
#include "support.hpp"

namespace evenrow::io {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// The message with which a changed file is rejected.
std::string rejection(const SafetensorsFile& file) {
  return message_of(ErrorKind::data, [&] { (void)parse_model(file.serialize(), "m"); });
}

std::string rejection(const std::function<void(json&)>& change) {
  SafetensorsFile file = to_safetensors(classification_model());
  json description = json::parse(file.metadata.at("evenrow"));
  change(description);
  file.metadata["evenrow"] = description.dump();
  return rejection(file);
}

// The file with one tensor taken out and, where given, another of its name put in.
std::string rejection_of_tensor(const std::string& name, std::optional<TensorEntry> other) {
  const SafetensorsFile file = to_safetensors(classification_model());
  SafetensorsFile changed;
  changed.metadata = file.metadata;
  for (const TensorEntry& tensor : file.tensors()) {
    if (tensor.name != name) changed.add(tensor);
  }
  if (other) changed.add(*other);
  return rejection(changed);
}

template <class T>
TensorEntry tensor_of(std::string name, std::vector<T> values, std::vector<std::int64_t> shape) {
  SafetensorsFile file;
  file.add(std::move(name), values, std::move(shape));
  return file.tensors().front();
}

TEST(ModelRejection, RejectsWhatIsNoModel) {
  EXPECT_EQ(rejection(SafetensorsFile()),
            "m: is no Evenrow model: its metadata has no \"evenrow\"; give a file that `evenrow "
            "train` wrote");
  SafetensorsFile file;
  file.metadata["evenrow"] = "{";
  EXPECT_THAT(rejection(file), HasSubstr("m: evenrow: invalid JSON: parse error at line 1"));
  file.metadata["evenrow"] = "[]";
  EXPECT_EQ(rejection(file), "m: evenrow: expected an object, found array");
  file.metadata["evenrow"] = R"({"version":1,"version":1})";
  EXPECT_EQ(rejection(file), "m: evenrow: the key \"version\" stands twice in one JSON object");
  file.metadata["evenrow"] = R"({"version":2,"new":"key"})";
  EXPECT_EQ(rejection(file),
            "m: version 2 of the model format is not supported, only version 1; use the Evenrow "
            "that wrote it, or train again");
  file.metadata["evenrow"] = R"({"task":"regression"})";
  EXPECT_EQ(rejection(file), "m: evenrow.version: is missing");
}

TEST(ModelRejection, RejectsADescriptionThatIsNotOne) {
  const std::string block = "m: evenrow.network.blocks[0]";
  struct Case {
    std::string message;
    std::function<void(json&)> change;
  };
  const std::vector<Case> cases{
      {"m: evenrow.task: is missing", [](json& d) { d.erase("task"); }},
      {"m: evenrow.task: unknown task \"clasification\" (did you mean 'classification'?); known "
       "are "
       "auto, classification, regression",
       [](json& d) { d["task"] = "clasification"; }},
      {"m: evenrow.\"future\": unknown key; version 1 of the format does not have it, so this "
       "program would not do what it asks for",
       [](json& d) { d["future"] = 1; }},
      {"m: evenrow.target: expected an object, found string",
       [](json& d) { d["target"] = "species"; }},
      {"m: evenrow.target.classes: expected an array, found string",
       [](json& d) { d["target"]["classes"] = "a"; }},
      {"m: evenrow.target.classes[1]: expected text or {\"hex\": \"...\"}, found number",
       [](json& d) { d["target"]["classes"][1] = 1; }},
      {"m: evenrow.target.classes[1]: expected text or {\"hex\": \"...\"}, found object",
       [](json& d) {
         d["target"]["classes"][1] = {{"hex", 12}};
       }},
      {"m: evenrow.target.classes[1]: \"hex\" is not pairs of the digits 0-9 and a-f",
       [](json& d) {
         d["target"]["classes"][1] = {{"hex", "abc"}};
       }},
      {"m: evenrow.target.classes[1]: \"hex\" is not pairs of the digits 0-9 and a-f",
       [](json& d) {
         d["target"]["classes"][1] = {{"hex", "zz"}};
       }},
      {"m: evenrow.target.mean: expected a number, found null",
       [](json& d) { d["target"]["mean"] = nullptr; }},
      {"m: evenrow.loss.kind: unknown loss \"hinge\"; known are cross_entropy, "
       "binary_cross_entropy, squared_error, huber",
       [](json& d) { d["loss"]["kind"] = "hinge"; }},
      {"m: evenrow.columns[0].kind: unknown column kind \"date\"; known are numeric, categorical",
       [](json& d) { d["columns"][0]["kind"] = "date"; }},
      {"m: evenrow.columns[1].categories: is missing",
       [](json& d) { d["columns"][1].erase("categories"); }},
      {"m: evenrow.columns[0].\"categories\": unknown key; version 1 of the format does not have "
       "it, so this program would not do what it asks for",
       [](json& d) { d["columns"][0]["categories"] = json::array(); }},
      {block + ".activation: unknown activation \"rellu\" (did you mean 'relu'?); known are none, "
               "relu, leaky_relu, gelu, tanh, sigmoid",
       [](json& d) { d["network"]["blocks"][0]["activation"] = "rellu"; }},
      {block + ".activation: expected a name, found 3",
       [](json& d) { d["network"]["blocks"][0]["activation"] = 3; }},
      {block + ".units: expected a whole number, found 4.0",
       [](json& d) { d["network"]["blocks"][0]["units"] = 4.0; }},
      {block + ".units: expected a whole number, found 18446744073709551615",
       [](json& d) { d["network"]["blocks"][0]["units"] = 18446744073709551615u; }},
      {block + ".bias: expected true, false or null, found 0",
       [](json& d) { d["network"]["blocks"][0]["bias"] = 0; }},
      {block + ".running: is missing", [](json& d) { d["network"]["blocks"][0].erase("running"); }},
      {block + ".running.updates: expected a whole number, found 0.5",
       [](json& d) { d["network"]["blocks"][0]["running"]["updates"] = 0.5; }},
  };
  for (const Case& c : cases) EXPECT_EQ(rejection(c.change), c.message);
}

TEST(ModelRejection, RejectsPartsThatDoNotFitTogether) {
  struct Case {
    std::string message;
    std::function<void(json&)> change;
  };
  const auto block = [](json& d, int b) -> json& { return d["network"]["blocks"][b]; };
  const std::vector<Case> cases{
      {"m: network: no blocks, expected at least one dense block",
       [](json& d) { d["network"]["blocks"] = json::array(); }},
      {"m: network: -1 inputs, expected at least 1", [](json& d) { d["network"]["inputs"] = -1; }},
      {"m: network block 1: 0 units, expected at least 1",
       [&](json& d) { block(d, 1)["units"] = 0; }},
      {"m: network block 0: dropout 1, expected in [0, 1)",
       [&](json& d) { block(d, 0)["dropout"] = 1.0; }},
      // More weights than the file has are found before memory is taken for them.
      {"m: tensor \"blocks.0.weight\": expected F32 [1000000000, 6], found F32 [4, 6]",
       [&](json& d) { block(d, 0)["units"] = 1'000'000'000; }},
      {"m: tensor \"blocks.0.weight\": expected F32 [4, 7], found F32 [4, 6]",
       [](json& d) { d["network"]["inputs"] = 7; }},
      {"m: tensor \"blocks.2.gamma\": is missing; expected F32 [3]",
       [&](json& d) {
         block(d, 2)["norm"] = "batch";
         block(d, 2)["running"] = block(d, 0)["running"];
       }},
      {"m: tensor \"blocks.2.bias\": is none of the model that the file describes",
       [&](json& d) { block(d, 2)["bias"] = false; }},
      {"m: network block 0: running statistics with new_weight 0 after 5 updates, expected "
       "new_weight in (0, 1] and no negative number of updates",
       [&](json& d) {
         block(d, 0)["running"] = {{"new_weight", 0.0}, {"updates", 5}};
       }},
      {"m: network block 0: running statistics with new_weight 0.5 after -5 updates, expected "
       "new_weight in (0, 1] and no negative number of updates",
       [&](json& d) {
         block(d, 0)["running"] = {{"new_weight", 0.5}, {"updates", -5}};
       }},
      {"m: input normalization: its 2 columns make 5 inputs, found 6 means and 6 variances",
       [](json& d) { d["columns"].erase(0); }},
      {"m: model: task auto, expected classification or regression",
       [](json& d) { d["task"] = "auto"; }},
      {"m: model: 2 classes and 3 network outputs with cross_entropy, expected 2 or more classes "
       "and one output each",
       [](json& d) { d["target"]["classes"].erase(0); }},
      {"m: model: 3 classes and 3 network outputs with binary_cross_entropy, expected 2 classes "
       "and 1 output",
       [](json& d) { d["loss"]["kind"] = "binary_cross_entropy"; }},
      {"m: model: loss huber with a classification, expected cross_entropy or "
       "binary_cross_entropy",
       [](json& d) { d["loss"]["kind"] = "huber"; }},
      {"m: model: loss cross_entropy with a regression, expected squared_error or huber",
       [](json& d) { d["task"] = "regression"; }},
      {"m: model: 3 classes and 3 network outputs with a regression, expected no class and 1 "
       "output",
       [](json& d) {
         d["task"] = "regression";
         d["loss"]["kind"] = "huber";
       }},
      {"m: loss: label smoothing 1, expected in [0, 1)",
       [](json& d) { d["loss"]["label_smoothing"] = 1; }},
      {"m: loss: huber delta 0, expected finite and > 0",
       [](json& d) { d["loss"]["huber_delta"] = 0; }},
      {"m: model: classes: \"1.0\" is listed twice",
       [](json& d) { d["target"]["classes"][1] = "1.0"; }},
      {"m: model: categories of column \"colour\": \"red\" is listed twice",
       [](json& d) { d["columns"][1]["categories"][2] = "red"; }},
      {"m: model: target mean 0 and scale 0, expected finite numbers and a scale above 0",
       [](json& d) { d["target"]["scale"] = 0; }},
  };
  for (const Case& c : cases) EXPECT_EQ(rejection(c.change), c.message);
}

TEST(ModelRejection, RejectsTensorsThatAreNotTheModels) {
  EXPECT_EQ(rejection_of_tensor("blocks.1.beta", {}),
            "m: tensor \"blocks.1.beta\": is missing; expected F32 [5]");
  EXPECT_EQ(rejection_of_tensor("inputs.mean", {}),
            "m: tensor \"inputs.mean\": is missing; expected F64 [6]");
  EXPECT_EQ(
      rejection_of_tensor("blocks.0.gamma", tensor_of<double>("blocks.0.gamma", {1, 1, 1, 1}, {4})),
      "m: tensor \"blocks.0.gamma\": expected F32 [4], found F64 [4]");
  EXPECT_EQ(rejection_of_tensor("blocks.0.gamma",
                                tensor_of<float>("blocks.0.gamma", {1, 1, 1, 1}, {4, 1})),
            "m: tensor \"blocks.0.gamma\": expected F32 [4], found F32 [4, 1]");
  EXPECT_EQ(rejection_of_tensor("", tensor_of<float>("blocks.3.gamma", {1}, {1})),
            "m: tensor \"blocks.3.gamma\": is none of the model that the file describes");
}

TEST(ModelRejection, RejectsNumbersThatCannotBe) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::string variance = "blocks.0.running_variance";
  EXPECT_EQ(rejection_of_tensor(variance, tensor_of<double>(variance, {1, 1, infinity, 1}, {4})),
            "m: blocks.0.running_variance: value 2 is inf, expected finite numbers");
  EXPECT_EQ(rejection_of_tensor(variance, tensor_of<double>(variance, {1, -0.5, 1, 1}, {4})),
            "m: blocks.0.running_variance: value 1 is -0.5, expected none below 0");
  const std::string mean = "blocks.0.running_mean";
  EXPECT_EQ(rejection_of_tensor(mean, tensor_of<double>(mean, {std::nan(""), 1, 1, 1}, {4})),
            "m: blocks.0.running_mean: value 0 is nan, expected finite numbers");
  const std::string bias = "blocks.2.bias";
  EXPECT_EQ(rejection_of_tensor(bias, tensor_of<float>(bias, {0, 0, HUGE_VALF}, {3})),
            "m: blocks.2.bias: value 2 is inf, expected finite numbers");
  const std::string inputs = "inputs.variance";
  EXPECT_EQ(rejection_of_tensor(inputs, tensor_of<double>(inputs, {1, 1, -1, 1, 1, 1}, {6})),
            "m: input normalization: input 2: expected a finite mean and a finite variance not "
            "below 0, found 0.3 and -1");
}

TEST(ModelRejection, WhatCannotBeReadAgainIsNotSaved) {
  const TemporaryFolder folder;
  const auto refused = [&](const Model& model) {
    return message_of(ErrorKind::usage, [&] { save_model(model, folder / "m"); });
  };
  EXPECT_EQ(refused(Model{}), "network: 0 inputs, expected at least 1");
  Model model = classification_model();
  model.network.running(1).variance.pop_back();
  EXPECT_EQ(refused(model),
            "network block 1: running statistics of 5 means and 4 variances, expected 5");
  model = classification_model();
  model.network.parameter(1, ParameterKind::gamma)[3] = std::nanf("");
  EXPECT_EQ(refused(model), "blocks.1.gamma: value 3 is nan, expected finite numbers");
  model = regression_model();
  model.target_mean = std::nan("");
  EXPECT_EQ(refused(model),
            "model: target mean nan and scale 2, expected finite numbers and a scale above 0");
  NetworkSpec spec = model.network.spec();
  spec.blocks[0].eps = std::nan("");  // unused there, but a file could not hold it
  model = regression_model();
  model.network = Network<float>(spec, 1);
  EXPECT_EQ(refused(model), "network: eps nan and new_weight 0.1, expected finite numbers");
  EXPECT_TRUE(folder.files().empty());
}

TEST(ModelRejection, LoadNamesTheFile) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  EXPECT_EQ(message_of(ErrorKind::io, [&] { (void)load_model(path); }),
            path.string() + ": cannot be read: No such file or directory");
  write_text(path, "PK\x03\x04 not safetensors at all");
  EXPECT_THAT(message_of(ErrorKind::data, [&] { (void)load_model(path); }),
              HasSubstr(path.string() + ": is no safetensors file"));
}

}  // namespace
}  // namespace evenrow::io
