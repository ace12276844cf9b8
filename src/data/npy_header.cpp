#include "data/npy_header.hpp"

#include <charconv>
#include <optional>

#include "core/fail.hpp"
#include "data/text.hpp"

namespace evenrow::data {
namespace {

class HeaderParser {
 public:
  HeaderParser(const std::string& source, std::string_view text) : source_(source), text_(text) {}

  NpyHeader parse() {
    NpyHeader header;
    bool has_type = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr") {
        refuse_twice(has_type, key);
        header.type = element_type();
      } else if (key == "fortran_order") {
        refuse_twice(has_order, key);
        header.fortran_order = boolean();
      } else if (key == "shape") {
        refuse_twice(has_shape, key);
        header.shape = shape();
      } else {
        fail_here("the key 'descr', 'fortran_order' or 'shape'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_blanks();
    if (at_ != text_.size()) fail_here("nothing after '}'");
    if (!has_type || !has_order || !has_shape) {
      fail_here("the keys 'descr', 'fortran_order' and 'shape'");
    }
    return header;
  }

 private:
  [[noreturn]] void fail_here(std::string_view expected) const {
    core::fail(ErrorKind::data, "{}: damaged npy header: expected {} at byte {} of {}", source_,
               expected, at_, shown(text_));
  }

  void refuse_twice(bool& seen, std::string_view key) const {
    if (seen) {
      core::fail(ErrorKind::data, "{}: damaged npy header: the key '{}' occurs twice", source_,
                 key);
    }
    seen = true;
  }

  void skip_blanks() noexcept {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool accept(char c) noexcept {
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail_here(std::string("'") + c + "'");
  }

  std::string_view quoted() {
    const char quote = accept('"') ? '"' : '\'';
    if (quote == '\'') expect('\'');
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail_here("a closing quote");
    const std::string_view content = text_.substr(at_, end - at_);
    at_ = end + 1;
    return content;
  }

  bool boolean() {
    skip_blanks();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail_here("True or False");
  }

  std::vector<std::int64_t> shape() {
    constexpr std::size_t kMostAxes = 64;  // NumPy's own limit
    std::vector<std::int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      skip_blanks();
      std::int64_t size = 0;
      const char* const end = text_.data() + text_.size();
      const auto [stop, error] = std::from_chars(text_.data() + at_, end, size);
      if (error != std::errc() || size < 0) fail_here("a size from 0 to 2^63 - 1");
      at_ = static_cast<std::size_t>(stop - text_.data());
      if (sizes.size() == kMostAxes) fail_here("at most 64 axes");
      sizes.push_back(size);
      accept('L');  // a long of Python 2
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  ElementType element_type() {
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '[') fail_type("a structured type");
    const std::string_view descr = quoted();
    const std::string_view name = descr.empty() ? descr : descr.substr(1);
    if (name.starts_with('O')) fail_type("Python objects");
    if (name.starts_with('U') || name.starts_with('S')) fail_type("text, " + shown(descr));
    const std::optional<Element> element = element_of_name(name);
    const char order = descr.empty() ? '?' : descr[0];
    if (!element || std::string_view("<>|=").find(order) == std::string_view::npos ||
        (order == '|' && element_size(*element) > 1)) {
      fail_type(shown(descr));
    }
    return {.element = *element, .big_endian = order == '>'};
  }

  static std::optional<Element> element_of_name(std::string_view name) noexcept {
    if (name == "u1" || name == "b1") return Element::u1;
    if (name == "i1") return Element::i1;
    if (name == "u2") return Element::u2;
    if (name == "i2") return Element::i2;
    if (name == "u4") return Element::u4;
    if (name == "i4") return Element::i4;
    if (name == "u8") return Element::u8;
    if (name == "i8") return Element::i8;
    if (name == "f2") return Element::f2;
    if (name == "f4") return Element::f4;
    if (name == "f8") return Element::f8;
    return std::nullopt;
  }

  [[noreturn]] void fail_type(const std::string& found) const {
    core::fail(ErrorKind::data,
               "{}: expected numbers (integers of 1 to 8 bytes, floating-point numbers of 2, 4 or "
               "8, or booleans), found {}; convert the array, for example with "
               "astype('float32'), and text labels to integers",
               source_, found);
  }

  const std::string& source_;
  const std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

NpyHeader parse_npy_header(const std::string& source, std::string_view text) {
  return HeaderParser(source, text).parse();
}

}  // namespace evenrow::data
