#include "data/idx.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "data/files.hpp"

namespace evenrow::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kImages = idx(8, {3, 2, 2}, "abcdefghijkl");
const std::string kLabels = idx(8, {3}, std::string("\x05\x00\x09", 3));

Dataset read_images(std::string_view images, std::string_view labels) {
  const auto image_source = open_memory(bytes_of(images), "images");
  const auto label_source = open_memory(bytes_of(labels), "labels");
  return read_idx(*image_source, label_source.get());
}

TEST(Idx, ReadsImagesAndLabels) {
  const Dataset data = read_images(kImages, kLabels);
  EXPECT_EQ(data.rows, 3);
  EXPECT_EQ(data.columns.size(), 4u);
  EXPECT_EQ(data.columns[3].name, "c4");
  EXPECT_EQ(data.image_height, 2);
  EXPECT_EQ(data.image_width, 2);
  EXPECT_THAT(values<std::uint8_t>(data),
              ElementsAre('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'));
  ASSERT_TRUE(data.target);
  EXPECT_EQ(data.target->name, "label");
  EXPECT_TRUE(data.target->numeric);
  EXPECT_THAT(data.target->numbers, ElementsAre(5, 0, 9));
  EXPECT_THAT(data.target->spellings, ElementsAre("0", "5", "9"));  // ascending
  EXPECT_THAT(data.target->codes, ElementsAre(1, 0, 2));
}

TEST(Idx, ReadsEveryElementTypeInBigEndianOrder) {
  EXPECT_THAT(values<float>(read_images(idx(0x09, {3, 1}, "\xff\x01\x80"), kLabels)),
              ElementsAre(-1, 1, -128));
  EXPECT_THAT(values<float>(read_images(
                  idx(0x0B, {3, 1}, std::string("\x01\x02\xff\xfe\x00\x07", 6)), kLabels)),
              ElementsAre(258, -2, 7));
  EXPECT_THAT(
      values<double>(read_images(idx(0x0C, {3, 1},
                                     std::string("\x00\x00\x01\x00\xff\xff\xff\xff\x7f\xff\xff"
                                                 "\xff",
                                                 12)),
                                 kLabels)),
      ElementsAre(256, -1, 2147483647.0));
  EXPECT_THAT(
      values<float>(read_images(idx(0x0D, {3, 1},
                                    std::string("\x3f\x80\x00\x00\xc0\x20\x00\x00\x00\x00\x00"
                                                "\x01",
                                                12)),
                                kLabels)),
      ElementsAre(1.0f, -2.5f, 0x1p-149f));
  const Dataset wide =
      read_images(idx(0x0E, {3, 1},
                      std::string("\x3f\xf0\0\0\0\0\0\0\x40\x59\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24)),
                  kLabels);
  EXPECT_THAT(values<double>(wide), ElementsAre(1.0, 100.0, 0.0));
  EXPECT_EQ(wide.image_height, 0);  // two dimensions are no image
}

TEST(Idx, RefusesEveryTruncation) {
  for (std::size_t length = 1; length < kImages.size(); ++length) {
    const Error error = error_of([&] { read_images(kImages.substr(0, length), kLabels); });
    EXPECT_EQ(error.kind(), ErrorKind::data) << length;
    EXPECT_THAT(error.what(), HasSubstr("images: "));
  }
  EXPECT_THAT(error_of([&] { read_images(kImages.substr(0, 20), kLabels); }).what(),
              HasSubstr("truncated: the IDX array needs 12 bytes by its header, 4 are there"));
  const std::string packed = gzip(kImages.substr(0, 20));  // whole gzip, truncated content
  EXPECT_THAT(error_of([&] { read_images(packed, kLabels); }).what(),
              HasSubstr("truncated: the IDX array needs 12 bytes by its header, 4 are there"));
  EXPECT_THAT(error_of([&] {
                read_images(idx(8, {3, 7, 7}, "abc"), kLabels);
              }).what(),
              HasSubstr("its header asks for 147 bytes of data, more than such a file can hold "
                        "(19); the header is damaged or the file truncated"));
}

TEST(Idx, RefusesWhatIsNotItsFormat) {
  EXPECT_THAT(error_of([&] { read_images("\x89PNG\r\n", kLabels); }).what(),
              HasSubstr("images: wrong magic number: an IDX file begins with 00 00, a type (08 for "
                        "bytes) and the number of dimensions, this one with 89 50 4e 47"));
  EXPECT_THAT(error_of([&] {
                read_images(idx(0x0A, {3, 1}, "abc"), kLabels);
              }).what(),
              HasSubstr("wrong magic number"));
  EXPECT_THAT(error_of([&] { read_images(kImages + "x", kLabels); }).what(),
              HasSubstr("images: more bytes follow the IDX array"));
  EXPECT_THAT(error_of([&] {
                read_images(idx(8, {0, 2, 2}, ""), kLabels);
              }).what(),
              HasSubstr("has no elements: its dimensions are 0 x 2 x 2"));
  EXPECT_THAT(error_of([&] { read_images(kLabels, kLabels); }).what(),
              HasSubstr("images: has one dimension, as labels have; give the file of the images"));
  EXPECT_THAT(error_of([&] { read_images(kImages, idx(8, {2}, "ab")); }).what(),
              HasSubstr("labels: expected one label for each of the 3 rows of images, found an "
                        "array of 2"));
}

TEST(Idx, ChecksClaimedSizesBeforeItAllocates) {
  EXPECT_THAT(error_of([&] {
                read_images(idx(8, {0xffffffff, 0xffffffff}, "abc"), kLabels);
              }).what(),
              HasSubstr("its header asks for more than 2^63 bytes of data"));
  EXPECT_THAT(error_of([&] {
                read_images(idx(8, {0xffffffff, 8}, "abc"), kLabels);
              }).what(),
              HasSubstr("its header asks for 34359738360 bytes of data, more than such a file can "
                        "hold (15)"));
  const std::string wide((1 << 20) + 1, 'a');
  EXPECT_THAT(error_of([&] {
                read_images(idx(8, {1, (1 << 20) + 1}, wide), idx(8, {1}, "a"));
              }).what(),
              HasSubstr("expected at most 1048576 columns, found 1048577"));
}

TEST(Idx, LabelsOfRowsThatAreExpected) {
  const auto images = open_memory(bytes_of(kImages), "images");
  const std::vector<Column> expected{
      {.name = "nw"}, {.name = "ne"}, {.name = "sw"}, {.name = "se"}};
  const Dataset data = read_idx(*images, nullptr, {.target = {}, .expected = expected});
  EXPECT_FALSE(data.target);
  EXPECT_EQ(data.columns[2].name, "sw");
  images->rewind();
  const std::vector<Column> fewer(3);
  EXPECT_THAT(
      error_of([&] { read_idx(*images, nullptr, {.target = {}, .expected = fewer}); }).what(),
      HasSubstr("images: expected 3 columns, as the model was trained on, found 4"));
}

TEST(Idx, FindsTheNameOfTheLabels) {
  EXPECT_THAT(label_paths("/d/train-images-idx3-ubyte.gz"),
              ElementsAre("/d/train-labels-idx1-ubyte.gz", "/d/train-labels-idx1-ubyte"));
  EXPECT_THAT(label_paths("t10k-images.idx3-ubyte"),
              ElementsAre("t10k-labels.idx1-ubyte", "t10k-labels.idx1-ubyte.gz"));
  EXPECT_TRUE(label_paths("/images/digits.idx").empty());
}

}  // namespace
}  // namespace evenrow::data
