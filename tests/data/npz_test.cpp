#include "data/npz.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Entries = std::vector<std::pair<std::string, std::string>>;

/// A zip file made by libzip.
std::string zip(const Entries& entries, zip_int32_t method = ZIP_CM_DEFLATE) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "a.zip").string();
  zip_t* const archive = zip_open(path.c_str(), ZIP_CREATE, nullptr);
  if (archive == nullptr) throw std::runtime_error("zip_open failed");
  for (const auto& [name, content] : entries) {
    zip_source_t* const source = zip_source_buffer(archive, content.data(), content.size(), 0);
    const zip_int64_t index = zip_file_add(archive, name.c_str(), source, 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
  }
  if (zip_close(archive) != 0) throw std::runtime_error("zip_close failed");
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::string kX = npy("<f4", false, "(3, 2)", raw<float>({1, 2, 3, 4, 5, 6}));
const std::string kY = npy("<i8", false, "(3,)", raw<std::int64_t>({1, 0, 1}));
const std::string kImageArrays = npy("|u1", false, "(3, 2, 2)", "abcdefghijkl");

Dataset read_archive(const std::string& file, const ReadOptions& options = {}) {
  return read_npz_memory(bytes_of(file), "a.npz", options);
}

std::string archive_message(const std::string& file, const ReadOptions& options = {}) {
  const Error error = error_of([&] { read_archive(file, options); });
  EXPECT_EQ(error.kind(), ErrorKind::data);
  return error.what();
}

TEST(Npz, ReadsStoredAndDeflatedArrays) {
  for (const zip_int32_t method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
    const Dataset data = read_archive(zip({{"x.npy", kX}, {"y.npy", kY}}, method));
    EXPECT_EQ(data.rows, 3);
    EXPECT_THAT(values<float>(data), ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_EQ(data.columns[1].name, "c2");
    EXPECT_EQ(data.target->name, "y");
    EXPECT_THAT(data.target->numbers, ElementsAre(1, 0, 1));
    EXPECT_THAT(data.target->spellings, ElementsAre("0", "1"));
  }
}

TEST(Npz, FindsTheFeaturesOfATarget) {
  const std::string many = zip({{"x_test.npy", kX},
                                {"y_test.npy", kY},
                                {"x_train.npy", kImageArrays},
                                {"y_train.npy", kY},
                                {"notes.txt", "no array"}});
  const Dataset data = read_archive(many, {.target = "y_train"});
  EXPECT_EQ(data.target->name, "y_train");
  EXPECT_EQ(data.image_height, 2);
  EXPECT_EQ(data.image_width, 2);
  EXPECT_EQ(data.columns.size(), 4u);
  EXPECT_EQ(read_archive(zip({{"X.npy", kX}, {"Y.npy", kY}})).target->name, "Y");
  EXPECT_EQ(read_archive(zip({{"label.npy", kY}, {"data.npy", kX}}), {.target = "label"}).rows, 3);
  EXPECT_EQ(
      read_archive(zip({{"label.npy", kY}, {"x.npy", kX}, {"z.npy", kX}}), {.target = "label"})
          .rows,
      3);
  EXPECT_THAT(archive_message(zip({{"y.npy", kY}, {"a.npy", kX}, {"b.npy", kX}})),
              HasSubstr("a.npz: which array holds the features? Expected one named 'x'; the arrays "
                        "are 'y', 'a', 'b'"));
  EXPECT_THAT(archive_message(zip({{"y.npy", kY}})), HasSubstr("which array holds the features?"));
}

TEST(Npz, AnUnknownTargetIsAnErrorUnlessColumnsAreExpected) {
  const std::string file = zip({{"x.npy", kX}, {"labels.npy", kY}});
  EXPECT_THAT(archive_message(file),
              HasSubstr("a.npz: there is no target array 'y'; the arrays are 'x', "
                        "'labels'"));
  EXPECT_THAT(archive_message(file, {.target = "lables"}),
              HasSubstr("there is no target array 'lables' (did you mean 'labels'?)"));
  const std::vector<Column> expected{{.name = "width"}, {.name = "height"}};
  const Dataset data = read_archive(file, {.target = "size", .expected = expected});
  EXPECT_FALSE(data.target);
  EXPECT_EQ(data.columns[0].name, "width");
}

TEST(Npz, RefusesArraysThatDoNotFit) {
  const std::string two = npy("<i8", false, "(2,)", raw<std::int64_t>({1, 0}));
  EXPECT_THAT(archive_message(zip({{"x.npy", kX}, {"y.npy", two}})),
              HasSubstr("a.npz: expected one number in 'y' for each of the 3 rows of 'x', found "
                        "shape (2)"));
  EXPECT_THAT(archive_message(zip({{"x.npy", kX}, {"y.npy", kX}})),
              HasSubstr("found shape (3, 2)"));
  const std::string column = npy("<i8", false, "(3, 1)", raw<std::int64_t>({1, 0, 1}));
  EXPECT_THAT(read_archive(zip({{"x.npy", kX}, {"y.npy", column}})).target->codes,
              ElementsAre(1, 0, 1));
  EXPECT_THAT(archive_message(zip({{"x.npy", kX + "x"}, {"y.npy", kY}})),
              HasSubstr("a.npz: x: more bytes follow the npy array"));
}

TEST(Npz, RefusesWhatIsNoArchiveOfArrays) {
  EXPECT_THAT(archive_message("PK\x03\x04 and no more"), HasSubstr("a.npz: corrupt npz file: "));
  EXPECT_THAT(archive_message(zip({{"word/document.xml", "<xml/>"}})),
              HasSubstr("a.npz: is a zip file, but holds no npy arrays; expected x and y"));
}

TEST(Npz, RefusesEveryTruncation) {
  const std::string file = zip({{"x.npy", kX}, {"y.npy", kY}});
  for (std::size_t length = 1; length < file.size(); ++length) {
    EXPECT_THAT(archive_message(file.substr(0, length)), HasSubstr("a.npz")) << length;
  }
}

// A changed byte is noticed, or is one that does not matter (a date, a permission).
TEST(Npz, ADamagedByteNeverChangesTheData) {
  const std::string file = zip({{"x.npy", kX}, {"y.npy", kY}});
  for (std::size_t at = 0; at < file.size(); ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x21);
    try {
      const Dataset data = read_archive(damaged);
      EXPECT_THAT(values<float>(data), ElementsAre(1, 2, 3, 4, 5, 6)) << at;
      EXPECT_THAT(data.target->numbers, ElementsAre(1, 0, 1)) << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data) << at;
    }
  }
}

}  // namespace
}  // namespace evenrow::data
