#include "data/npy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "data/files.hpp"
#include "data/npy_header.hpp"

namespace evenrow::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Dataset read_table(std::string_view file, const ReadOptions& options = {}) {
  return read_npy(*open_memory(bytes_of(file), "a.npy"), options);
}

NpyArray read_array(std::string_view file) {
  return read_npy_array(*open_memory(bytes_of(file), "a.npy"));
}

template <class T>
std::string matrix(const std::string& descr) {
  return npy(descr, false, "(2, 3)", raw<T>({1, 2, 3, 4, 5, 6}));
}

TEST(Npy, TheLastColumnIsTheTarget) {
  const Dataset data = read_table(npy("<f8", false, "(2, 3)", raw<double>({1, 2, 30, 4, 5, -1.5})));
  EXPECT_EQ(data.rows, 2);
  ASSERT_EQ(data.columns.size(), 2u);
  EXPECT_EQ(data.columns[1].name, "c2");
  EXPECT_THAT(values<double>(data), ElementsAre(1, 2, 4, 5));
  EXPECT_EQ(data.target->name, "c3");
  EXPECT_THAT(data.target->numbers, ElementsAre(30, -1.5));
  EXPECT_THAT(data.target->spellings, ElementsAre("-1.5", "30"));
  EXPECT_THAT(data.target->codes, ElementsAre(1, 0));
}

TEST(Npy, TheTargetMayBeAnyColumn) {
  const Dataset data = read_table(matrix<float>("<f4"), {.target = "c1"});
  EXPECT_EQ(data.columns[0].name, "c2");
  EXPECT_THAT(values<float>(data), ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(data.target->numbers, ElementsAre(1, 4));
  EXPECT_THAT(error_of([] { read_table(matrix<float>("<f4"), {.target = "c4"}); }).what(),
              HasSubstr("a.npy: there is no target column 'c4'"));
}

TEST(Npy, ExpectedColumnsGoByPosition) {
  std::vector<Column> expected{{.name = "width"}, {.name = "height"}};
  const Dataset with_target =
      read_table(matrix<float>("<f4"), {.target = "size", .expected = expected});
  EXPECT_EQ(with_target.columns[1].name, "height");
  EXPECT_EQ(with_target.target->name, "size");
  expected.push_back({.name = "depth"});
  const Dataset without =
      read_table(matrix<float>("<f4"), {.target = "size", .expected = expected});
  EXPECT_FALSE(without.target);
  EXPECT_THAT(values<float>(without), ElementsAre(1, 2, 3, 4, 5, 6));
  expected.push_back({.name = "weight"});
  EXPECT_THAT(error_of([&] {
                read_table(matrix<float>("<f4"), {.target = "", .expected = expected});
              }).what(),
              HasSubstr("expected 4 columns, as the model was trained on, or 5 with the target, "
                        "found 3"));
}

TEST(Npy, ReadsEveryElementType) {
  EXPECT_THAT(values<std::uint8_t>(read_table(matrix<std::uint8_t>("|u1"))),
              ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<std::uint8_t>(read_table(matrix<std::uint8_t>("|b1"))),
              ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<float>(read_table(matrix<std::int8_t>("|i1"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<float>(read_table(matrix<std::uint16_t>("<u2"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<float>(read_table(matrix<std::int16_t>("<i2"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<double>(read_table(matrix<std::uint32_t>("<u4"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<double>(read_table(matrix<std::int32_t>("<i4"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<double>(read_table(matrix<std::uint64_t>("<u8"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<double>(read_table(matrix<std::int64_t>("<i8"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<float>(read_table(matrix<float>("<f4"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<double>(read_table(matrix<double>("<f8"))), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(values<double>(read_table(matrix<double>("=f8"))), ElementsAre(1, 2, 4, 5));
}

TEST(Npy, ReadsHalfPrecision) {
  // 1, -2, the largest (65504), the smallest subnormal (2^-24), infinity, the smallest normal.
  const std::vector<std::uint16_t> bits{0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x0400, 0x7e00};
  const NpyArray array = read_array(npy("<f2", false, "(7,)", raw(bits)));
  const auto& numbers = std::get<std::vector<float>>(array.values);
  EXPECT_THAT(std::vector<float>(numbers.begin(), numbers.end() - 1),
              ElementsAre(1.0f, -2.0f, 65504.0f, 0x1p-24f, std::numeric_limits<float>::infinity(),
                          0x1p-14f));
  EXPECT_TRUE(std::isnan(numbers.back()));
}

TEST(Npy, MissingTargetsHaveNoClass) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Dataset data =
      read_table(npy("<f8", false, "(4, 2)", raw<double>({1, 0.5, 2, nan, 3, -0.0, 4, 0.0})));
  EXPECT_TRUE(std::isnan(data.target->numbers[1]));
  EXPECT_THAT(data.target->codes, ElementsAre(1, -1, 0, 0));
  EXPECT_THAT(data.target->spellings, ElementsAre("0", "0.5"));
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_THAT(error_of([&] {
                read_table(npy("<f8", false, "(2, 2)", raw<double>({1, 0, 2, infinity})));
              }).what(),
              HasSubstr("a.npy: target 'c2': row 2 (counting from 1) is infinite"));
}

TEST(Npy, ManyDistinctNumbersAreNoClasses) {
  std::vector<double> numbers(20'002);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<double>(i);
  const Dataset data = read_table(npy("<f8", false, "(10001, 2)", raw(numbers)));
  EXPECT_TRUE(data.target->numeric);
  EXPECT_TRUE(data.target->spellings.empty());
  EXPECT_TRUE(data.target->codes.empty());
}

// Any shape, element order and byte order: element i (last axis fastest) has the value i.
RC_GTEST_PROP(Npy, ReadsAnyShapeAndOrder, ()) {
  const auto shape = *rc::gen::resize(
      4, rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 5))));
  const bool fortran = *rc::gen::arbitrary<bool>();
  const bool big_endian = *rc::gen::arbitrary<bool>();
  std::size_t count = 1;
  std::string text = "(";
  for (const int size : shape) {
    count *= static_cast<std::size_t>(size);
    text += std::to_string(size) + ",";
  }
  std::string elements;
  for (std::size_t stored = 0; stored < count; ++stored) {
    std::size_t value = stored;
    if (fortran) {  // the place of stored element `stored`, first axis fastest
      std::size_t rest = stored;
      value = 0;
      std::vector<std::size_t> place;
      for (const int size : shape) {
        place.push_back(rest % static_cast<std::size_t>(size));
        rest /= static_cast<std::size_t>(size);
      }
      for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        value = value * static_cast<std::size_t>(shape[axis]) + place[axis];
      }
    }
    std::string bytes = raw<std::int32_t>({static_cast<std::int32_t>(value)});
    if (big_endian) std::reverse(bytes.begin(), bytes.end());
    elements += bytes;
  }
  const NpyArray array = read_array(npy(big_endian ? ">i4" : "<i4", fortran, text + ")", elements));
  RC_ASSERT(std::equal(array.shape.begin(), array.shape.end(), shape.begin(), shape.end()));
  const auto& numbers = std::get<std::vector<double>>(array.values);
  for (std::size_t i = 0; i < count; ++i) RC_ASSERT(numbers[i] == static_cast<double>(i));
}

TEST(Npy, ReadsFormatVersions2And3) {
  const std::string header = "{'shape': (1, 2L), 'fortran_order': False, \"descr\": \"<f4\"}";
  for (const char version : {'\2', '\3'}) {
    std::string file = "\x93NUMPY";
    file += {version, '\0', static_cast<char>(header.size()), '\0', '\0', '\0'};
    EXPECT_THAT(read_table(file + header + raw<float>({7, 8})).target->numbers, ElementsAre(8));
  }
  std::string other = matrix<float>("<f4");
  other[6] = '\4';
  EXPECT_THAT(error_of([&] { read_table(other); }).what(),
              HasSubstr("expected npy format version 1, 2 or 3, found 4.0"));
}

TEST(Npy, RefusesEveryTruncation) {
  const std::string file = matrix<float>("<f4");
  for (std::size_t length = 1; length < file.size(); ++length) {
    const Error error = error_of([&] { read_table(file.substr(0, length)); });
    EXPECT_EQ(error.kind(), ErrorKind::data) << length;
  }
  EXPECT_THAT(error_of([&] { read_table(file.substr(0, 30)); }).what(),
              HasSubstr("a.npy: truncated: it ends inside the npy header"));
  EXPECT_THAT(error_of([&] { read_table(file + "x"); }).what(),
              HasSubstr("a.npy: more bytes follow the npy array"));
}

TEST(Npy, RefusesWhatIsNoMatrixOfNumbers) {
  const auto message = [](const std::string& file) {
    return std::string(error_of([&] { read_table(file); }).what());
  };
  EXPECT_THAT(message("PNG..."), HasSubstr("a.npy: wrong magic number: an npy file begins with 93 "
                                           "4e 55 4d 50 59 (\\x93NUMPY), this one with 50 4e 47"));
  EXPECT_THAT(message(npy("<U3", false, "(1, 2)", std::string(24, 'a'))),
              HasSubstr("found text, '<U3'; convert the array"));
  EXPECT_THAT(message(npy("|O", false, "(1, 2)", "")), HasSubstr("found Python objects"));
  EXPECT_THAT(message(npy("<c8", false, "(1, 2)", "")), HasSubstr("found '<c8'"));
  EXPECT_THAT(message(npy("|f8", false, "(1, 2)", "")), HasSubstr("found '|f8'"));
  EXPECT_THAT(message(npy("", false, "(1, 2)", "")), HasSubstr("found ''"));
  EXPECT_THAT(message(npy("<f4", false, "(2,)", raw<float>({1, 2}))),
              HasSubstr("expected an array of two axes, rows and columns, found shape (2)"));
  EXPECT_THAT(message(npy("<f4", false, "()", raw<float>({1}))),
              HasSubstr("expected an array with rows, found one of shape ()"));
  EXPECT_THAT(message(npy("<f4", true, "(0, 1000000000000)", "")),
              HasSubstr("expected an array with rows, found one of shape (0, 1000000000000)"));
  EXPECT_THAT(message(npy("<f4", false, "(2, 1)", raw<float>({1, 2}))),
              HasSubstr("has one column only, 'c1'"));
}

TEST(Npy, ChecksClaimedSizesBeforeItAllocates) {
  EXPECT_THAT(
      error_of([] { read_table(npy("<f8", true, "(4294967296, 4294967296)", "12345678")); }).what(),
      HasSubstr("its header asks for more than 2^63 bytes"));
  EXPECT_THAT(error_of([] { read_table(npy("<f8", true, "(1000000, 1000)", "12345678")); }).what(),
              HasSubstr("its header asks for 8000000000 bytes of data, more than such a file"));
  std::string file = "\x93NUMPY";
  file += {'\2', '\0', '\xff', '\xff', '\xff', '\xff'};
  EXPECT_THAT(error_of([&] { read_table(file); }).what(),
              HasSubstr("expected an npy header of at most 65535 bytes, found 4294967295"));
}

TEST(NpyHeader, RefusesEverythingButTheDictionary) {
  const auto message = [](const std::string& text) {
    return std::string(error_of([&] { parse_npy_header("a.npy", text); }).what());
  };
  const std::string start = "{'descr': '<f8', 'fortran_order': False, 'shape': ";
  EXPECT_NO_THROW(parse_npy_header("a.npy", start + "(1, 2), }   \n"));
  EXPECT_NO_THROW(parse_npy_header("a.npy", start + "(1, 2)}"));
  EXPECT_THAT(message(""), HasSubstr("a.npy: damaged npy header: expected '{' at byte 0"));
  EXPECT_THAT(message("{"), HasSubstr("expected ''' at byte 1"));
  EXPECT_THAT(message("{'descr': '<f8"), HasSubstr("expected a closing quote"));
  EXPECT_THAT(message("{'descr': '<f8'}"), HasSubstr("expected the keys 'descr', "));
  EXPECT_THAT(message(start + "(1, -2)}"), HasSubstr("expected a size from 0 to 2^63 - 1"));
  EXPECT_THAT(message(start + "(9223372036854775808,)}"), HasSubstr("expected a size from 0"));
  EXPECT_THAT(message(start + "(1 2)}"), HasSubstr("expected ')'"));
  EXPECT_THAT(message(start + "(1,)} x"), HasSubstr("expected nothing after '}'"));
  EXPECT_THAT(message("{'order': 1}"), HasSubstr("expected the key 'descr', 'fortran_order' or"));
  EXPECT_THAT(message("{'fortran_order': yes}"), HasSubstr("expected True or False"));
  EXPECT_THAT(message("{'fortran_order': True, 'fortran_order': True}"),
              HasSubstr("the key 'fortran_order' occurs twice"));
  EXPECT_THAT(message("{'descr': [('a', '<f8')]}"), HasSubstr("found a structured type"));
  std::string axes;
  for (int i = 0; i < 65; ++i) axes += "1,";
  EXPECT_THAT(message(start + "(" + axes + ")}"), HasSubstr("expected at most 64 axes"));
}

}  // namespace
}  // namespace evenrow::data
