// evenrow inspect: what is inside models, data and runs.
#include "inspect.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <memory>

#include "command.hpp"
#include "core/fail.hpp"
#include "help.hpp"
#include "output.hpp"

namespace evenrow::cli {
namespace {

namespace fs = std::filesystem;

struct InspectArguments {
  std::vector<std::string> things;
  std::string target;
};

// A safetensors file begins with the length of a JSON object as 8 bytes, least significant first,
// then the object. As text these bytes would be a length beyond any file's.
bool looks_like_model(const fs::path& path) {
  if (path.extension() == ".safetensors") return true;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  std::array<char, 9> head{};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(head.data(), static_cast<std::streamsize>(head.size()))) return false;
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) {
    length = (length << 8) | static_cast<unsigned char>(head[i]);
  }
  const std::uintmax_t size = fs::file_size(path, error);
  return !error && head[8] == '{' && length <= size;
}

bool is_folder(const std::string& name) {
  std::error_code error;
  return fs::is_directory(name, error);
}

std::string text_of(const std::string& thing, const std::string& target) {
  if (is_folder(thing)) {
    const fs::path model = fs::path(thing) / "model.safetensors";
    std::error_code error;
    std::string text = runs_text({thing});
    const std::string observation = last_observation_text(thing);
    if (!observation.empty()) text += "\n" + observation;
    if (fs::exists(model, error)) text += "\n" + model_text(load_model(model), model.string());
    return text;
  }
  if (looks_like_model(thing)) return model_text(load_model(thing), thing);
  return dataset_text(read_dataset(thing, {.target = target}));
}

Exit run(const InspectArguments& arguments) {
  const auto& things = arguments.things;
  if (things.size() > 1 && std::all_of(things.begin(), things.end(), is_folder)) {
    write_result(runs_text({things.begin(), things.end()}));
    return Exit::success;
  }
  for (std::size_t i = 0; i < things.size(); ++i) {
    write_result((i > 0 ? "\n" : "") + text_of(things[i], arguments.target));
  }
  return Exit::success;
}

}  // namespace

Command add_inspect(CLI::App& app) {
  CLI::App* parser = add_verb(
      app, "inspect", "inspect MODEL|DATA|RUN... [OPTION]...",
      "Shows what is inside models, data and training runs.\n\n"
      "A model: its layers with shapes, parameters, the ranges of running mean and variance over "
      "the channels, and the updates they have seen. Data: its columns with their types, missing "
      "values and ranges; for images a summary. Run folders: their results side by side; of one "
      "that was trained with --observe also what its last observation saw.",
      "evenrow inspect flowers.csv\n"
      "evenrow inspect runs/flowers/model.safetensors\n"
      "evenrow inspect runs/with-batch-norm runs/without");
  auto arguments = std::make_shared<InspectArguments>();
  parser
      ->add_option("THING", arguments->things,
                   "A model file, data as the other verbs take it, or the folder of a run; one or "
                   "more.")
      ->required();
  parser->add_option("--target", arguments->target, "Column to be predicted (default: the last)")
      ->type_name("COLUMN");
  return {parser, [arguments] { return run(*arguments); }};
}

}  // namespace evenrow::cli
