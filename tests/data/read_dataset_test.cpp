#include "evenrow/dataset.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kImageFile = idx(8, {2, 2, 2}, "abcdefgh");
const std::string kLabelFile = idx(8, {2}, std::string("\x03\x01", 2));

/// Sets an environment variable, and puts it back at its end.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() {
    if (before_) {
      ::setenv(name_, before_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

TEST(ReadDataset, KnowsAFormatByItsContent) {
  const TemporaryFolder folder;
  const std::string numbers = npy("<f4", false, "(1, 2)", raw<float>({1, 2}));
  EXPECT_EQ(read_dataset(folder.write("a.dat", numbers)).target->name, "c2");
  EXPECT_EQ(read_dataset(folder.write("b.npy.gz", gzip(numbers))).target->name, "c2");
  EXPECT_EQ(read_dataset(folder.write("c.data", "x y;z\n1;2\n")).target->name, "z");
  EXPECT_EQ(read_dataset(folder.write("d", gzip("x\ty\n1\t2\n"))).source,
            (folder.path() / "d").string());
}

TEST(ReadDataset, ADamagedFileIsReportedAsWhatItsNameSays) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& name) {
    const Error error = error_of([&] { read_dataset(folder.write(name, "garbage")); });
    EXPECT_EQ(error.kind(), ErrorKind::data);
    return std::string(error.what());
  };
  EXPECT_THAT(message("a.npy"), HasSubstr("a.npy: wrong magic number: an npy file begins with"));
  EXPECT_THAT(message("a.npz"), HasSubstr("a.npz: corrupt npz file: Not a zip archive"));
  EXPECT_THAT(message("a-images-idx3-ubyte"), HasSubstr("wrong magic number: an IDX file begins"));
  EXPECT_THAT(message("a-images-idx3-ubyte.gz"), HasSubstr("wrong magic number"));
  EXPECT_THAT(message("a.csv"), HasSubstr("a.csv: has one column only, 'garbage'"));
}

TEST(ReadDataset, FindsTheLabelsBesideTheImages) {
  const TemporaryFolder folder;
  const std::string images = folder.write("digits-images-idx3-ubyte", kImageFile);
  const Error missing = error_of([&] { read_dataset(images); });
  EXPECT_EQ(missing.kind(), ErrorKind::io);
  EXPECT_THAT(missing.what(), HasSubstr("its labels are missing: there is no "));
  EXPECT_THAT(missing.what(), HasSubstr("digits-labels-idx1-ubyte, gzipped or not"));

  const Dataset without = read_dataset(images, {.expected = std::vector<Column>(4)});
  EXPECT_FALSE(without.target);

  folder.write("digits-labels-idx1-ubyte.gz", gzip(kLabelFile));
  EXPECT_THAT(read_dataset(images).target->numbers, ElementsAre(3, 1));

  const Error unnamed = error_of([&] { read_dataset(folder.write("digits.idx", kImageFile)); });
  EXPECT_THAT(unnamed.what(), HasSubstr("the file should be named NAME-images-idx3-ubyte"));
}

TEST(ReadDataset, NamesAFileThatIsMissingOrEmpty) {
  const TemporaryFolder folder;
  const Error missing = error_of([&] { read_dataset("fashion-mnits"); });
  EXPECT_EQ(missing.kind(), ErrorKind::io);
  EXPECT_STREQ(missing.what(),
               "fashion-mnits: cannot be opened: No such file or directory; expected a CSV, npy, "
               "npz or IDX file, or the word fashion-mnist");
  const Error empty = error_of([&] { read_dataset(folder.write("a.csv", "")); });
  EXPECT_EQ(empty.kind(), ErrorKind::data);
  EXPECT_THAT(empty.what(), HasSubstr("a.csv: the file is empty; expected a data set"));
}

TEST(FashionMnist, IsReadFromTheFolderThatTheEnvironmentNames) {
  const TemporaryFolder folder;
  const ScopedVariable variable("EVENROW_DATASETS", folder.path().string());
  const Error missing = error_of([] { read_dataset("fashion-mnist"); });
  EXPECT_EQ(missing.kind(), ErrorKind::io);
  EXPECT_THAT(missing.what(), HasSubstr("fashion-mnist/train-images-idx3-ubyte.gz does not exist; "
                                        "install the Debian package dataset-fashion-mnist"));
  folder.write("fashion-mnist/train-images-idx3-ubyte.gz", gzip(kImageFile));
  folder.write("fashion-mnist/train-labels-idx1-ubyte.gz", gzip(kLabelFile));
  folder.write("fashion-mnist/t10k-images-idx3-ubyte.gz", gzip(idx(8, {1, 2, 2}, "abcd")));
  folder.write("fashion-mnist/t10k-labels-idx1-ubyte.gz", gzip(idx(8, {1}, "\x07")));
  const Dataset training = read_dataset("fashion-mnist");
  EXPECT_EQ(training.source, "fashion-mnist");
  EXPECT_EQ(training.rows, 2);
  EXPECT_EQ(read_dataset("fashion-mnist:train").rows, 2);
  const Dataset test = read_dataset("fashion-mnist:test", {.expected = training.columns});
  EXPECT_EQ(test.rows, 1);
  EXPECT_THAT(test.target->spellings, ElementsAre("7"));
  const Error part = error_of([] { read_dataset("fashion-mnist:valid"); });
  EXPECT_EQ(part.kind(), ErrorKind::usage);
  EXPECT_THAT(part.what(), HasSubstr("fashion-mnist has two parts"));
}

TEST(FashionMnist, TheRealFiles) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    GTEST_SKIP() << "the Debian package dataset-fashion-mnist is not installed";
  }
  const ScopedVariable variable("EVENROW_DATASETS", "/usr/share/datasets");
  const Dataset data = read_dataset("fashion-mnist:test");
  EXPECT_EQ(data.rows, 10'000);
  EXPECT_EQ(data.columns.size(), 784u);
  EXPECT_EQ(data.image_height, 28);
  EXPECT_EQ(data.image_width, 28);
  EXPECT_EQ(data.target->spellings.size(), 10u);
  std::vector<int> count(10);
  for (const std::int32_t code : data.target->codes) ++count[static_cast<std::size_t>(code)];
  EXPECT_EQ(count, std::vector<int>(10, 1000));  // the set is balanced
}

}  // namespace
}  // namespace evenrow::data
