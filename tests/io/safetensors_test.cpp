#include "io/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "support.hpp"

namespace evenrow::io {
namespace {

using ::testing::HasSubstr;

std::string header_of(const std::vector<std::byte>& file) {
  std::uint64_t size = 0;
  std::memcpy(&size, file.data(), sizeof size);
  return {reinterpret_cast<const char*>(file.data()) + sizeof size, size};
}

TEST(Safetensors, WritesTheFormat) {
  SafetensorsFile file;
  file.metadata["about"] = "a \"test\"";
  file.add("weight", std::vector<float>{1, 2, 3}, {3, 1});
  file.add("step", std::vector<std::int64_t>{7}, {});
  const std::vector<std::byte> bytes = file.serialize();
  const std::string header = header_of(bytes);
  EXPECT_EQ(header.size() % 8, 0u);
  EXPECT_EQ(header.substr(0, header.find_last_not_of(' ') + 1),
            R"({"__metadata__":{"about":"a \"test\""},)"
            R"("step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
            R"("weight":{"dtype":"F32","shape":[3,1],"data_offsets":[8,20]}})");
  ASSERT_EQ(bytes.size(), 8 + header.size() + 20);
  std::int64_t step = 0;
  std::memcpy(&step, bytes.data() + 8 + header.size(), sizeof step);
  EXPECT_EQ(step, 7);
}

TEST(Safetensors, ValuesComeBackByNameTypeAndShape) {
  SafetensorsFile file;
  const std::vector<double> doubles{0.1, -0.0, std::numeric_limits<double>::infinity()};
  file.add("f64", doubles, {3});
  file.add("f32", std::vector<float>{0.1f}, {1, 1});
  file.add("i32", std::vector<std::int32_t>{-5, 6}, {2});
  file.add("u8", std::vector<std::uint8_t>{255}, {});
  file.add("empty", std::vector<float>{}, {0, 3});
  const auto read = SafetensorsFile::parse(file.serialize(), "m");
  EXPECT_EQ(read.require<double>("f64", {3}), doubles);
  EXPECT_TRUE(std::signbit(read.require<double>("f64", {3})[1]));
  EXPECT_EQ(read.require<float>("f32", {1, 1}), std::vector<float>{0.1f});
  EXPECT_EQ(read.require<std::int32_t>("i32", {2}), (std::vector<std::int32_t>{-5, 6}));
  EXPECT_EQ(read.require<std::uint8_t>("u8", {}), std::vector<std::uint8_t>{255});
  EXPECT_TRUE(read.require<float>("empty", {0, 3}).empty());
  EXPECT_EQ(read.find("f65"), nullptr);
  EXPECT_EQ(message_of(ErrorKind::data, [&] { (void)read.require<double>("f65", {3}); }),
            "m: tensor \"f65\": is missing; expected F64 [3]");
  EXPECT_EQ(message_of(ErrorKind::data,
                       [&] {
                         (void)read.require<double>("f64", {1, 3});
                       }),
            "m: tensor \"f64\": expected F64 [1, 3], found F64 [3]");
  EXPECT_EQ(message_of(ErrorKind::data, [&] { (void)read.require<float>("f64", {3}); }),
            "m: tensor \"f64\": expected F32 [3], found F64 [3]");
}

TEST(Safetensors, WithoutTensorsOrMetadata) {
  const std::vector<std::byte> bytes = SafetensorsFile().serialize();
  EXPECT_EQ(header_of(bytes), "{}      ");
  EXPECT_TRUE(SafetensorsFile::parse(bytes, "m").tensors().empty());
}

TEST(Safetensors, EveryTensorIsAlignedToItsElements) {
  SafetensorsFile file;
  file.add("a", std::vector<std::uint8_t>(3), {3});
  file.add("b", std::vector<double>(1), {1});
  file.add("c", std::vector<float>(1), {1});
  file.add("d", std::vector<double>(1), {1});
  const auto bytes = file.serialize();
  const auto header = nlohmann::json::parse(header_of(bytes));
  EXPECT_EQ(header["b"]["data_offsets"], (std::vector{0, 8}));
  EXPECT_EQ(header["d"]["data_offsets"], (std::vector{8, 16}));
  EXPECT_EQ(header["c"]["data_offsets"], (std::vector{16, 20}));
  EXPECT_EQ(header["a"]["data_offsets"], (std::vector{20, 23}));
}

TEST(Safetensors, AddRefusesWhatCannotBeWritten) {
  SafetensorsFile file;
  file.add("a", std::vector<float>(6), {2, 3});
  const auto add = [&](std::string name, std::vector<std::int64_t> shape) {
    return message_of(ErrorKind::usage, [&] { file.add(name, std::vector<float>(6), shape); });
  };
  EXPECT_EQ(add("a", {6}), "tensor \"a\": was already added; every name stands once");
  EXPECT_EQ(add("b", {5}), "tensor \"b\": 24 bytes were given for F32 [5]");
  EXPECT_EQ(add("b", {-2, -3}), "tensor \"b\": 24 bytes were given for F32 [-2, -3]");
  const std::string rule =
      ": a name is UTF-8 text, not empty and not \"__metadata__\"; choose another";
  EXPECT_EQ(add("", {6}), "tensor \"\"" + rule);
  EXPECT_EQ(add("__metadata__", {6}), "tensor \"__metadata__\"" + rule);
  EXPECT_EQ(add("\xff", {6}), "tensor \"\\xff\"" + rule);
  ASSERT_EQ(file.tensors().size(), 1u);

  file.metadata["key"] = "caf\xe9";
  EXPECT_EQ(message_of(ErrorKind::usage, [&] { (void)file.serialize(); }),
            "metadata \"key\": is not UTF-8 text");
}

TEST(Safetensors, TensorsMayBeListedInAnyOrderAndWithAnyJsonSpace) {
  const auto read = SafetensorsFile::parse(
      raw_safetensors("{ \"b\" : {\"shape\":[1],\"data_offsets\":[1,2],\"dtype\":\"U8\"},\n"
                      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}  ",
                      "xy"),
      "m");
  ASSERT_EQ(read.tensors().size(), 2u);
  EXPECT_EQ(read.tensors()[0].name, "a");
  EXPECT_EQ(read.require<std::uint8_t>("b", {1})[0], 'y');
}

TEST(Safetensors, ReadsEveryElementType) {
  for (const std::string_view name : core::names<Dtype>()) {
    const Dtype dtype = *core::parse_name<Dtype>(name);
    const std::int64_t size = size_of(dtype);
    const auto header = fmt::format(R"({{"t":{{"dtype":"{}","shape":[2],"data_offsets":[0,{}]}}}})",
                                    name, 2 * size);
    const std::string data(static_cast<std::size_t>(2 * size), 'x');
    const auto read = SafetensorsFile::parse(raw_safetensors(header, data), "m");
    EXPECT_EQ(read.require("t", dtype, {2}).bytes, to_bytes(data));
  }
}

struct Rejection {
  const char* why;
  std::string header;
  std::string data;
  std::string message;
};

std::string tensor(const std::string& shape, const std::string& offsets,
                   const std::string& dtype = "F32") {
  return R"("t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}";
}

TEST(Safetensors, RejectsWhatTheFormatDoesNotAllow) {
  const std::string u = R"({"dtype":"U8","shape":[2],"data_offsets":)";
  const std::string sizes = " is expected to hold whole numbers from 0 to 2^63 - 1, found ";
  const std::vector<Rejection> rejections{
      {"no object", "[]", "", "m: is no safetensors file: its header does not begin with '{'"},
      {"space first", " {}", "", "m: is no safetensors file: its header does not begin with '{'"},
      {"empty header", "", "", "m: is no safetensors file: its header does not begin with '{'"},
      {"not JSON", "{\"t\":}", "", "m: header: invalid JSON: parse error at line 1, column 6: "},
      {"unclosed", "{", "", "m: header: invalid JSON: parse error at line 1, column 2: "},
      {"two values", "{}{}", "", "m: header: invalid JSON: parse error at line 1, column 3: "},
      {"comment", "{}//", "", "m: header: invalid JSON: parse error at line 1, column 3: "},
      {"NUL padding", std::string("{}\0", 3), "", "m: header: invalid JSON: byte 2 is NUL"},
      {"not UTF-8", "{\"\xff\":1}", "",
       "m: header: invalid JSON: parse error at line 1, column 3: "},
      {"half a surrogate pair", R"({"\ud800":1})", "", "m: header: invalid JSON: parse error"},
      {"duplicate tensor", "{" + tensor("[0]", "[0,0]") + "," + tensor("[0]", "[0,0]") + "}", "",
       "m: header: the key \"t\" stands twice in one JSON object"},
      {"duplicate by escape", R"({"\u0074":1,"t":1})", "",
       "m: header: the key \"t\" stands twice in one JSON object"},
      {"duplicate field", R"({"t":{"dtype":"U8","dtype":"U8"}})", "",
       "m: header: the key \"dtype\" stands twice in one JSON object"},
      {"duplicate metadata", R"({"__metadata__":{"a":"1","a":"2"}})", "",
       "m: header: the key \"a\" stands twice in one JSON object"},
      {"metadata no object", R"({"__metadata__":["a"]})", "",
       "m: __metadata__: expected an object of texts, found array"},
      {"metadata no text", R"({"__metadata__":{"a":1}})", "",
       "m: __metadata__: the value of \"a\" is expected to be text, found number"},
      {"tensor no object", R"({"t":null})", "", "m: tensor \"t\": expected an object, found null"},
      {"no dtype", R"({"t":{"shape":[],"data_offsets":[0,1]}})", "x",
       "m: tensor \"t\": \"dtype\" is missing"},
      {"no shape", R"({"t":{"dtype":"U8","data_offsets":[0,1]}})", "x",
       "m: tensor \"t\": \"shape\" is missing"},
      {"no offsets", R"({"t":{"dtype":"U8","shape":[]}})", "x",
       "m: tensor \"t\": \"data_offsets\" is missing"},
      {"dtype no text", R"({"t":{"dtype":8,"shape":[],"data_offsets":[0,1]}})", "x",
       "m: tensor \"t\": \"dtype\" is expected to be string, found number"},
      {"shape no array", "{" + tensor("4", "[0,4]") + "}", "xxxx",
       "m: tensor \"t\": \"shape\" is expected to be array, found number"},
      {"unknown dtype", "{" + tensor("[1]", "[0,4]", "F23") + "}", "xxxx",
       "m: tensor \"t\": unknown dtype \"F23\"; known are BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, "
       "U16, F16, BF16, I32, U32, F32, I64, U64, F64"},
      {"negative size", "{" + tensor("[-1]", "[0,4]") + "}", "xxxx",
       "m: tensor \"t\": shape" + sizes + "-1"},
      {"fractional size", "{" + tensor("[1.0]", "[0,4]") + "}", "xxxx",
       "m: tensor \"t\": shape" + sizes + "1.0"},
      {"text size", "{" + tensor("[\"1\"]", "[0,4]") + "}", "xxxx",
       "m: tensor \"t\": shape" + sizes + "string"},
      {"size of 2^63", "{" + tensor("[9223372036854775808]", "[0,4]") + "}", "xxxx",
       "m: tensor \"t\": shape" + sizes + "9223372036854775808"},
      {"product of 2^64", "{" + tensor("[4294967296,4294967296]", "[0,0]") + "}", "",
       "m: tensor \"t\": the size of F32 [4294967296, 4294967296] overflows"},
      {"bytes overflow", "{" + tensor("[4611686018427387904]", "[0,0]") + "}", "",
       "m: tensor \"t\": the size of F32 [4611686018427387904] overflows"},
      {"overflow before a zero", "{" + tensor("[4611686018427387904,0]", "[0,0]") + "}", "",
       "m: tensor \"t\": the size of F32 [4611686018427387904, 0] overflows"},
      {"one offset", "{" + tensor("[1]", "[0]") + "}", "xxxx",
       "m: tensor \"t\": data_offsets is expected to hold 2 numbers, found 1"},
      {"three offsets", "{" + tensor("[1]", "[0,4,4]") + "}", "xxxx",
       "m: tensor \"t\": data_offsets is expected to hold 2 numbers, found 3"},
      {"offset too large", "{" + tensor("[1]", "[0,18446744073709551615]") + "}", "xxxx",
       "m: tensor \"t\": data_offsets" + sizes + "18446744073709551615"},
      {"backwards", "{" + tensor("[1]", "[4,0]") + "}", "xxxx",
       "m: tensor \"t\": data_offsets end before they begin: [4, 0]"},
      {"beyond the end", "{" + tensor("[2]", "[0,8]") + "}", "xxxx",
       "m: tensor \"t\": its bytes end at 8 of the data, but the file has only 4; is it cut off?"},
      {"size against shape", "{" + tensor("[2]", "[0,4]") + "}", "xxxx",
       "m: tensor \"t\": F32 [2] has 8 bytes, but data_offsets [0, 4] hold 4"},
      {"gap first", "{\"a\":" + u + "[1,3]}}", "xxx",
       "m: tensor \"a\": its bytes begin at 1 of the data, but those before it end at 0: a gap is "
       "not allowed"},
      {"gap between", "{\"a\":" + u + "[0,2]},\"b\":" + u + "[3,5]}}", "xxxxx",
       "m: tensor \"b\": its bytes begin at 3 of the data, but those before it end at 2: a gap is "
       "not allowed"},
      {"overlap", "{\"a\":" + u + "[0,2]},\"b\":" + u + "[1,3]}}", "xxx",
       "m: tensor \"b\": its bytes begin at 1 of the data, but those before it end at 2: an "
       "overlap is not allowed"},
      {"the same bytes twice", "{\"a\":" + u + "[0,2]},\"b\":" + u + "[0,2]}}", "xx",
       "m: tensor \"b\": its bytes begin at 0 of the data, but those before it end at 2: an "
       "overlap is not allowed"},
      {"bytes after the last", "{\"a\":" + u + "[0,2]}}", "xxx",
       "m: 1 bytes follow the last tensor; none may"},
      {"data without tensors", "{}", "x", "m: 1 bytes follow the last tensor; none may"},
  };
  for (const Rejection& rejection : rejections) {
    SCOPED_TRACE(rejection.why);
    const auto bytes = raw_safetensors(rejection.header, rejection.data);
    const std::string message =
        message_of(ErrorKind::data, [&] { (void)SafetensorsFile::parse(bytes, "m"); });
    // Where the message ends in the parser's own words, only the beginning is ours.
    if (message.find("parse error") != std::string::npos) {
      EXPECT_EQ(message.substr(0, rejection.message.size()), rejection.message);
    } else {
      EXPECT_EQ(message, rejection.message);
    }
  }
}

TEST(Safetensors, RejectsAHeaderSizeThatCannotBe) {
  const auto message = [](std::string_view file) {
    const auto bytes = to_bytes(file);
    return message_of(ErrorKind::data, [&] { (void)SafetensorsFile::parse(bytes, "m"); });
  };
  EXPECT_EQ(message(""),
            "m: is no safetensors file: it has 0 bytes, fewer than the 8 of the header's size");
  EXPECT_EQ(message("1234567"),
            "m: is no safetensors file: it has 7 bytes, fewer than the 8 of the header's size");
  EXPECT_EQ(message(std::string_view("\x03\0\0\0\0\0\0\0{}", 10)),
            "m: its header has 3 bytes, but only 2 follow; is the file cut off?");
  EXPECT_EQ(message("\xff\xff\xff\xff\xff\xff\xff\xff{}"),
            "m: is no safetensors file: its header would have 18446744073709551615 bytes, more "
            "than the 100000000 that the format allows");
  EXPECT_EQ(message(std::string_view("\x01\xe1\xf5\x05\0\0\0\0{}", 10)),  // 100,000,001
            "m: is no safetensors file: its header would have 100000001 bytes, more than the "
            "100000000 that the format allows");
}

TEST(Safetensors, EveryShorterFileIsRejected) {
  SafetensorsFile file;
  file.metadata["a"] = "b";
  file.add("weight", std::vector<float>{1, 2, 3}, {3});
  const auto bytes = file.serialize();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    message_of(ErrorKind::data,
               [&] { (void)SafetensorsFile::parse(std::span(bytes).first(size), "m"); });
  }
}

TEST(Safetensors, LongAndDeepHeadersAreRejectedInShortWords) {
  const std::string deep = "{\"t\":" + std::string(1'000'000, '[');
  const std::string message = message_of(
      ErrorKind::data, [&] { (void)SafetensorsFile::parse(raw_safetensors(deep), "m"); });
  EXPECT_THAT(message, HasSubstr("invalid JSON"));
  const std::string word = "{\"t\":" + std::string(1'000'000, 'x') + "}";
  EXPECT_LT(
      message_of(ErrorKind::data, [&] { (void)SafetensorsFile::parse(raw_safetensors(word), "m"); })
          .size(),
      300u);
  const std::string closed = deep + std::string(1'000'000, ']') + "}";
  EXPECT_THAT(message_of(ErrorKind::data,
                         [&] { (void)SafetensorsFile::parse(raw_safetensors(closed), "m"); }),
              HasSubstr("m: tensor \"t\": expected an object, found array"));
}

TEST(Safetensors, LoadSaysWhatTheSystemRefused) {
  const TemporaryFolder folder;
  const auto missing = folder / "none.safetensors";
  EXPECT_EQ(message_of(ErrorKind::io, [&] { (void)SafetensorsFile::load(missing); }),
            missing.string() + ": cannot be read: No such file or directory");
  EXPECT_EQ(message_of(ErrorKind::io, [&] { (void)SafetensorsFile::load(folder.path()); }),
            folder.path().string() + ": cannot be read: Is a directory");
  const auto empty = folder / "empty.safetensors";
  write_text(empty, "");
  EXPECT_THAT(message_of(ErrorKind::data, [&] { (void)SafetensorsFile::load(empty); }),
              HasSubstr(empty.string() + ": is no safetensors file: it has 0 bytes"));
}

rc::Gen<TensorEntry> any_tensor(std::string name) {
  return rc::gen::exec([name] {
    const auto dtype =
        static_cast<Dtype>(*rc::gen::inRange(0, static_cast<int>(core::names<Dtype>().size())));
    const auto shape = *rc::gen::resize(
        4, rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 5)));
    std::int64_t size = size_of(dtype);
    for (const std::int64_t side : shape) size *= side;
    const auto bytes = *rc::gen::container<std::vector<std::uint8_t>>(
        static_cast<std::size_t>(size), rc::gen::arbitrary<std::uint8_t>());
    const auto raw = std::as_bytes(std::span(bytes));
    return TensorEntry{name, dtype, shape, {raw.begin(), raw.end()}};
  });
}

// Text of ASCII (control characters and NUL too) and of two-, three- and four-byte characters.
rc::Gen<std::string> any_text() {
  return rc::gen::map(
      rc::gen::container<std::vector<std::string>>(rc::gen::oneOf(
          rc::gen::map(rc::gen::inRange(0, 128),
                       [](int c) { return std::string(1, static_cast<char>(c)); }),
          rc::gen::element<std::string>("\"", "\\", "\n", "é", "€", "漢", "🙂", "\u2028"))),
      [](const std::vector<std::string>& parts) {
        std::string text;
        for (const std::string& part : parts) text += part;
        return text;
      });
}

TEST(Safetensors, AnyContentComesBackWhole) {
  EXPECT_TRUE(rc::check([] {
    SafetensorsFile file;
    file.metadata = *rc::gen::container<std::map<std::string, std::string>>(any_text(), any_text());
    const int count = *rc::gen::inRange(0, 6);
    for (int i = 0; i < count; ++i) {
      // A prefix of their own keeps random names distinct.
      file.add(*any_tensor(fmt::format("{}{}", i, *any_text())));
    }
    const auto bytes = file.serialize();
    RC_ASSERT(header_of(bytes).size() % 8 == 0u);
    const auto read = SafetensorsFile::parse(bytes, "m");
    RC_ASSERT(read.metadata == file.metadata);
    RC_ASSERT(read.tensors().size() == file.tensors().size());
    for (const TensorEntry& tensor : file.tensors()) RC_ASSERT(*read.find(tensor.name) == tensor);
    RC_ASSERT(read.serialize() == bytes);
  }));
}

// A reader that lets through what it should not would most likely show it here: the parse of any
// file with a few bytes changed either fails with a data error or gives something that can be
// written and read again.
TEST(Safetensors, ADamagedFileIsRejectedOrConsistent) {
  EXPECT_TRUE(rc::check([] {
    SafetensorsFile file;
    file.metadata["a"] = "b";
    file.add("x", std::vector<float>{1, 2, 3}, {3});
    file.add("y", std::vector<std::uint8_t>{1}, {1, 1});
    auto bytes = file.serialize();
    const int changes = *rc::gen::inRange(1, 4);
    for (int i = 0; i < changes; ++i) {
      const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
      bytes[at] = static_cast<std::byte>(*rc::gen::element<char>('0', '1', '9', ',', '"', '}', '{',
                                                                 '[', '-', '.', 'x', '\xff', '\0'));
    }
    try {
      const auto read = SafetensorsFile::parse(bytes, "m");
      const auto again = SafetensorsFile::parse(read.serialize(), "m");
      RC_ASSERT(again.tensors().size() == read.tensors().size());
      RC_ASSERT(again.metadata == read.metadata);
    } catch (const Error& error) {
      RC_ASSERT(error.kind() == ErrorKind::data);
    }
  }));
}

}  // namespace
}  // namespace evenrow::io
