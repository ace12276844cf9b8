#include "train/checkpoint.hpp"

#include <algorithm>

#include "core/fail.hpp"
#include "io/safetensors.hpp"
#include "train/metrics_json.hpp"

namespace evenrow::training {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kMetadataKey = "evenrow_checkpoint";
constexpr int kVersion = 2;

void add_network(io::SafetensorsFile& file, const std::string& prefix,
                 const Network<float>& network) {
  const auto parameters = network.parameters();
  file.add(prefix + "parameters", parameters, {std::ssize(parameters)});
  std::vector<std::int64_t> updates;
  for (std::size_t b = 0; b < network.spec().blocks.size(); ++b) {
    const RunningStatistics& running = network.running(b);
    updates.push_back(running.updates);
    if (running.mean.empty()) continue;
    file.add(fmt::format("{}running_mean.{}", prefix, b), running.mean, {std::ssize(running.mean)});
    file.add(fmt::format("{}running_variance.{}", prefix, b), running.variance,
             {std::ssize(running.variance)});
  }
  file.add(prefix + "updates", updates, {std::ssize(updates)});
}

void read_network(const io::SafetensorsFile& file, const std::string& prefix,
                  Network<float>& network) {
  const auto parameters = network.parameters();
  std::ranges::copy(file.require<float>(prefix + "parameters", {std::ssize(parameters)}),
                    parameters.begin());
  const std::size_t blocks = network.spec().blocks.size();
  const auto updates =
      file.require<std::int64_t>(prefix + "updates", {static_cast<std::int64_t>(blocks)});
  for (std::size_t b = 0; b < blocks; ++b) {
    RunningStatistics& running = network.running(b);
    running.updates = updates[b];
    if (running.mean.empty()) continue;
    const std::int64_t channels = std::ssize(running.mean);
    running.mean = file.require<double>(fmt::format("{}running_mean.{}", prefix, b), {channels});
    running.variance =
        file.require<double>(fmt::format("{}running_variance.{}", prefix, b), {channels});
  }
}

// Doubles that must come back bit for bit, and NaN is one of their values.
std::vector<double> exact_numbers(const SessionState& state) {
  return {state.loss_sum,  state.epoch_seconds, state.seconds,
          state.best_loss, state.step_seconds,  state.observe_seconds};
}

}  // namespace

void save_checkpoint(const SessionState& state, const CheckpointContext& context,
                     const std::filesystem::path& path) {
  io::SafetensorsFile file;
  add_network(file, "", state.network);
  file.add("first_moment", state.optimizer.first_moment(),
           {std::ssize(state.optimizer.first_moment())});
  file.add("second_moment", state.optimizer.second_moment(),
           {std::ssize(state.optimizer.second_moment())});
  file.add("numbers", exact_numbers(state), {6});
  if (state.best) add_network(file, "best.", *state.best);
  // The task only chooses which numbers an evaluation writes: a confusion matrix tells it.
  Json epochs = Json::array();
  for (const EpochMetrics& epoch : state.epochs) {
    const bool numbers = epoch.validation && epoch.validation->confusion.empty();
    epochs.push_back(to_json(epoch, numbers ? Task::regression : Task::classification));
  }
  const Json metadata = {{"version", kVersion},
                         {"data_fingerprint", context.data_fingerprint},
                         {"steps_bytes", context.steps_bytes},
                         {"epochs_bytes", context.epochs_bytes},
                         {"observations_bytes", context.observations_bytes},
                         {"optimizer_steps", state.optimizer.steps()},
                         {"step", state.step},
                         {"correct", state.correct},
                         {"examples", state.examples},
                         {"skipped_in_epoch", state.skipped_in_epoch},
                         {"skipped", state.skipped},
                         {"skipped_in_a_row", state.skipped_in_a_row},
                         {"best_epoch", state.best_epoch},
                         {"epochs", epochs}};
  file.metadata[kMetadataKey] = metadata.dump();
  file.save(path);
}

CheckpointContext load_checkpoint(const std::filesystem::path& path, SessionState& state) {
  const io::SafetensorsFile file = io::SafetensorsFile::load(path);
  const auto found = file.metadata.find(kMetadataKey);
  if (found == file.metadata.end()) {
    core::fail(ErrorKind::data, "{}: not a checkpoint of Evenrow", path.string());
  }
  CheckpointContext context;
  try {
    const Json metadata = Json::parse(found->second);
    if (metadata.at("version").get<int>() != kVersion) {
      core::fail(ErrorKind::data, "{}: checkpoint version {}, expected {}; train again",
                 path.string(), metadata.at("version").get<int>(), kVersion);
    }
    const auto integer = [&](const char* key) { return metadata.at(key).get<std::int64_t>(); };
    context = {metadata.at("data_fingerprint").get<std::string>(), integer("steps_bytes"),
               integer("epochs_bytes"), integer("observations_bytes")};
    state.step = integer("step");
    state.correct = integer("correct");
    state.examples = integer("examples");
    state.skipped_in_epoch = integer("skipped_in_epoch");
    state.skipped = integer("skipped");
    state.skipped_in_a_row = integer("skipped_in_a_row");
    state.best_epoch = integer("best_epoch");
    state.epochs.clear();
    for (const Json& epoch : metadata.at("epochs")) state.epochs.push_back(epoch_from_json(epoch));
    state.optimizer.restore(
        integer("optimizer_steps"),
        file.require<float>("first_moment", {std::ssize(state.optimizer.first_moment())}),
        file.require<float>("second_moment", {std::ssize(state.optimizer.second_moment())}));
  } catch (const Json::exception& error) {
    core::fail(ErrorKind::data, "{}: not a checkpoint of Evenrow: {}", path.string(), error.what());
  }
  const auto numbers = file.require<double>("numbers", {6});
  state.loss_sum = numbers[0];
  state.epoch_seconds = numbers[1];
  state.seconds = numbers[2];
  state.best_loss = numbers[3];
  state.step_seconds = numbers[4];
  state.observe_seconds = numbers[5];
  read_network(file, "", state.network);
  if (state.best_epoch >= 0) {
    state.best = state.network;
    read_network(file, "best.", *state.best);
  }
  return context;
}

}  // namespace evenrow::training
