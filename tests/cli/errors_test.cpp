// Bad input of every kind: one clear message, the right exit code, nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "cli/program.hpp"

namespace evenrow::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr int kUsage = 2, kData = 3, kIo = 4, kTraining = 5;

struct BadInput {
  std::string name;
  std::vector<std::string> arguments;
  int exit;
  std::vector<std::string> told;  // what the message says
};

void PrintTo(const BadInput& bad, std::ostream* out) {
  *out << bad.name;
}

std::vector<std::string> train(const std::string& data, std::vector<std::string> options = {}) {
  std::vector<std::string> words{"train", data, "--out", "new", "--hidden", "4"};
  words.insert(words.end(), options.begin(), options.end());
  return words;
}

// Data, and a trained model in the run folder `run`, shared by all cases: none may change it.
const Workplace& workplace() {
  static const Workplace place;
  static const bool ready = [] {
    const std::string flowers = flowers_csv();
    const std::string houses = houses_csv();
    place.write("flowers.csv", flowers);
    place.write("houses.csv", houses);
    place.write("empty.csv", "");
    place.write("one_class.csv", flowers_csv({"setosa"}));
    place.write("more_classes.csv", flowers_csv({"setosa", "\"Iris, blue\"", "violet"}));
    std::size_t line = 0;  // the start of the file's 4th line
    for (int i = 0; i < 3; ++i) line = houses.find('\n', line) + 1;
    const std::size_t comma = houses.rfind(',', houses.find('\n', line));
    std::string no_target = houses;
    no_target.erase(comma + 1, houses.find('\n', line) - comma - 1);
    place.write("no_target.csv", no_target);
    std::string ragged = houses;
    ragged.insert(houses.find('\n', line), ",1");
    place.write("ragged.csv", ragged);
    place.write("broken.safetensors", "not a model at all");
    place.write("unknown_key.toml", "epochs = 3\nepoch = 2\n");
    place.write("wrong_type.toml", "epochs = \"three\"\n");
    write_images(place, "digits");
    place.write("cut-images-idx3-ubyte", place.read("digits-images-idx3-ubyte").substr(0, 500));
    place.write("cut-labels-idx1-ubyte", place.read("digits-labels-idx1-ubyte"));
    place.write("magic-images-idx3-ubyte", "no IDX file");
    place.write("magic-labels-idx1-ubyte", place.read("digits-labels-idx1-ubyte"));
    return place.run({"train", "flowers.csv", "--hidden", "4", "--epochs", "1", "--out", "run"})
               .exit == 0;
  }();
  EXPECT_TRUE(ready);
  return place;
}

class Errors : public testing::TestWithParam<BadInput> {};

TEST_P(Errors, AreToldInOneMessage) {
  const BadInput& bad = GetParam();
  const Workplace& place = workplace();
  std::filesystem::remove_all(place / "new");
  const Outcome outcome = place.run(bad.arguments);
  EXPECT_EQ(outcome.exit, bad.exit) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, StartsWith("evenrow: error: "));
  EXPECT_EQ(line_count(outcome.err), 1) << outcome.err;
  for (const std::string& part : bad.told) EXPECT_THAT(outcome.err, HasSubstr(part));
  EXPECT_FALSE(place.has("new/model.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(
    CommandLine, Errors,
    testing::Values(
        BadInput{"NoVerb", {}, kUsage, {"verb is missing", "train, evaluate, predict, inspect"}},
        BadInput{"UnknownVerb", {"trian"}, kUsage, {"'trian'", "did you mean 'train'"}},
        BadInput{"UnknownOption",
                 train("flowers.csv", {"--epoch=3"}),
                 kUsage,
                 {"unknown option '--epoch'", "did you mean '--epochs'"}},
        BadInput{"UnknownOptionElsewhere",
                 {"predict", "run", "flowers.csv", "--ouput", "x"},
                 kUsage,
                 {"unknown option '--ouput'", "did you mean '--output'"}},
        BadInput{"OptionTwice",
                 train("flowers.csv", {"--seed", "1", "--seed", "2"}),
                 kUsage,
                 {"--seed is given twice"}},
        BadInput{
            "OptionWithoutValue", train("flowers.csv", {"--seed"}), kUsage, {"--seed", "missing"}},
        BadInput{"NoData", {"train", "--out", "new"}, kUsage, {"DATA is missing"}},
        BadInput{"NoOut", {"train", "flowers.csv"}, kUsage, {"--out is missing"}},
        BadInput{"NoModelData", {"evaluate", "run"}, kUsage, {"DATA is required"}},
        BadInput{"TooManyArguments",
                 {"predict", "run", "flowers.csv", "more"},
                 kUsage,
                 {"unexpected argument 'more'"}},
        BadInput{"NotANumber",
                 train("flowers.csv", {"--lr", "fast"}),
                 kUsage,
                 {"--lr", "'fast'", "a number"}},
        BadInput{"NotWhole",
                 train("flowers.csv", {"--batch-size", "2.5"}),
                 kUsage,
                 {"--batch-size", "'2.5'", "a whole number"}},
        BadInput{"NotAList", train("flowers.csv", {"--hidden=4,,4"}), kUsage, {"--hidden"}},
        BadInput{"OutOfRange",
                 train("flowers.csv", {"--dropout", "1"}),
                 kUsage,
                 {"dropout is 1", "[0, 1)"}},
        BadInput{"UnknownChoice",
                 train("flowers.csv", {"--norm", "bach"}),
                 kUsage,
                 {"--norm", "none, batch", "did you mean 'batch'"}},
        BadInput{"ZeroEpochs",
                 train("flowers.csv", {"--epochs=0"}),
                 kUsage,
                 {"epochs", "0", "at least 1"}},
        BadInput{"BatchSizeOne",
                 train("flowers.csv", {"--batch-size", "1"}),
                 kUsage,
                 {"batch_size is 1", "at least 2", "batch norm"}},
        BadInput{"ResumeWithOptions",
                 {"train", "--resume", "run", "--epochs", "9"},
                 kUsage,
                 {"remove --epochs"}},
        BadInput{
            "ResumeWithData", {"train", "flowers.csv", "--resume", "run"}, kUsage, {"remove DATA"}},
        BadInput{
            "OutNotEmpty", {"train", "flowers.csv", "--out", "run"}, kUsage, {"run", "not empty"}},
        BadInput{"UnknownKey",
                 train("flowers.csv", {"--config", "unknown_key.toml"}),
                 kUsage,
                 {"unknown_key.toml, line 2", "did you mean 'epochs'"}},
        BadInput{"WrongTypeInFile",
                 train("flowers.csv", {"--config", "wrong_type.toml"}),
                 kUsage,
                 {"wrong_type.toml, line 1", "epochs", "a whole number"}}),
    [](const auto& bad_info) { return bad_info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Data, Errors,
    testing::Values(
        BadInput{"MissingFile", train("nothere.csv"), kIo, {"nothere.csv", "No such file"}},
        BadInput{"EmptyFile", train("empty.csv"), kData, {"empty.csv", "empty"}},
        BadInput{"UnknownTarget",
                 train("flowers.csv", {"--target", "specie"}),
                 kData,
                 {"'specie'", "did you mean 'species'"}},
        BadInput{"OneClass", train("one_class.csv"), kData, {"one class only", "'setosa'"}},
        BadInput{"TargetMissing", train("no_target.csv"), kData, {"row 3", "'price'"}},
        BadInput{
            "RaggedRow", train("ragged.csv"), kData, {"line 4", "expected 4 fields", "found 5"}},
        BadInput{"RegressionOnWords",
                 train("flowers.csv", {"--task", "regression"}),
                 kData,
                 {"'species'", "'setosa'", "numbers"}},
        BadInput{"WrongMagic", train("magic-images-idx3-ubyte"), kData, {"magic-images"}},
        BadInput{"CutOff", train("cut-images-idx3-ubyte"), kData, {"cut-images"}},
        BadInput{"MoreClassesAtTest",
                 {"evaluate", "run", "more_classes.csv"},
                 kData,
                 {"row 3", "'violet'", "setosa"}},
        BadInput{"MoreClassesInTestOption",
                 train("flowers.csv", {"--test", "more_classes.csv"}),
                 kData,
                 {"more_classes.csv", "'violet'"}},
        BadInput{"OtherColumns",
                 {"predict", "run", "houses.csv"},
                 kData,
                 {"'length'", "trained on", "'area'"}},
        BadInput{"OtherInputs",
                 {"evaluate", "run", "digits-images-idx3-ubyte"},
                 kData,
                 {"digits-images-idx3-ubyte", "3 columns", "36"}},
        BadInput{"NoModel", {"evaluate", "nothere", "flowers.csv"}, kIo, {"nothere"}},
        BadInput{
            "FolderWithoutModel", {"evaluate", ".", "flowers.csv"}, kIo, {"model.safetensors"}},
        BadInput{"BrokenModel", {"inspect", "broken.safetensors"}, kData, {"broken.safetensors"}},
        BadInput{"NotAModel", {"predict", "flowers.csv", "flowers.csv"}, kData, {"flowers.csv"}},
        BadInput{"NoRun", {"train", "--resume", "nothere"}, kIo, {"nothere", "no run"}},
        BadInput{"RunFinished", {"train", "--resume", "run"}, kUsage, {"finished"}},
        BadInput{"NoSuchFolder",
                 {"predict", "run", "flowers.csv", "-o", "no/such.csv"},
                 kIo,
                 {"no/such.csv"}},
        BadInput{"BenchTooShort", {"bench", "--seconds", "0"}, kUsage, {"--seconds is 0"}},
        BadInput{"InspectNothing", {"inspect", "nothere"}, kIo, {"nothere"}},
        BadInput{"InspectFolder", {"inspect", "."}, kIo, {"config.toml"}}),
    [](const auto& bad_info) { return bad_info.param.name; });

TEST(Errors, ADivergingRunSaysWhatToDo) {
  const Outcome outcome = workplace().run(
      train("flowers.csv", {"--optimizer=sgd", "--lr=1e30", "--norm=none", "--batch-size=16"}));
  EXPECT_EQ(outcome.exit, kTraining) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("evenrow: warning: step "));
  EXPECT_THAT(outcome.err, HasSubstr("evenrow: error: training stopped"));
  EXPECT_THAT(outcome.err, HasSubstr("Lower the learning rate"));
}

TEST(Errors, AFullDiskIsToldForResults) {
  const Outcome outcome = workplace().run({"predict", "run", "flowers.csv"}, "/dev/full");
  EXPECT_EQ(outcome.exit, kIo);
  EXPECT_THAT(outcome.err, HasSubstr("standard output cannot be written: No space left"));
}

// What files and arguments say reaches the terminal without its control characters.
TEST(Errors, FilesCannotSpeakToTheTerminal) {
  const Workplace& place = workplace();
  std::filesystem::remove_all(place / "new");
  place.write("evil.csv", "a,\x1b[2Jb,c\n1,2,\x1b[3Jx\n3,4,y\n");
  for (const auto& arguments : {std::vector<std::string>{"inspect", "evil.csv"},
                                {"train", "evil.csv", "--target", "x", "--out", "new"},
                                {"inspect", "\x1b[2J"},
                                {"train", "--\x1b[2J"}}) {
    const Outcome outcome = place.run(arguments);
    EXPECT_THAT(outcome.out + outcome.err, HasSubstr("[2J"));
    EXPECT_THAT(outcome.out + outcome.err, testing::Not(HasSubstr("\x1b")));
  }
}

}  // namespace
}  // namespace evenrow::test
