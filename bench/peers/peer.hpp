// What a peer of operator_bench.py and step_bench.py is: a program that answers requests, one JSON
// object a line. It keeps the operations that were set up, by their id, until they are dropped.
//   {"do": "hello"}                              -> {"name", "version", "threads"}
//   {"do": "setup", "id", "op", ...}             -> {"ok": true} or {"unsupported": reason}
//   {"do": "check", "id", "folder"}              -> {"ok": true}; runs once, writes its results
//   {"do": "time", "id", "warmup", "calls"}      -> {"ns": all calls together}
//   {"do": "drop", "id"}                         -> {"ok": true}
// An answer may be {"error": reason} instead. Arrays travel as files of raw values.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace evenrow::bench {

using nlohmann::json;

struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Uninitialized values on a cache line's boundary, as frameworks allocate them.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::int64_t count) : count_(static_cast<std::size_t>(count)) {
    constexpr std::size_t kLine = 64;
    const std::size_t bytes = (count_ * sizeof(T) / kLine + 1) * kLine;
    values_.reset(static_cast<T*>(std::aligned_alloc(kLine, bytes)));
    if (values_ == nullptr) throw std::bad_alloc();
  }
  Buffer(std::int64_t count, const std::string& path) : Buffer(count) {
    std::ifstream file(path, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(data()), bytes()) || file.peek() != EOF) {
      throw std::runtime_error(path + ": not the expected number of values");
    }
  }

  void write(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(data()), bytes());
    if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
  }

  T* data() const { return values_.get(); }
  T* begin() const { return data(); }
  T* end() const { return data() + count_; }
  std::size_t size() const { return count_; }
  std::streamsize bytes() const { return static_cast<std::streamsize>(count_ * sizeof(T)); }

 private:
  struct Free {
    void operator()(T* values) const { std::free(values); }
  };
  std::unique_ptr<T[], Free> values_;
  std::size_t count_ = 0;
};

/// An operation that is ready to run, with its tensors.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual void run() = 0;
  virtual void write(const std::string& folder) const = 0;
  virtual std::string implementation() const { return ""; }
};

using MakeOperation = std::function<std::unique_ptr<Operation>(const json&)>;

namespace detail {

using Operations = std::map<int, std::unique_ptr<Operation>>;

inline json answer(const json& request, const json& hello, const MakeOperation& make,
                   Operations& operations) {
  const std::string what = request.at("do");
  if (what == "hello") return hello;
  const int id = request.at("id");
  if (what == "setup") {
    operations[id] = make(request);
    return {{"ok", true}, {"implementation", operations[id]->implementation()}};
  }
  if (what == "drop") {
    operations.erase(id);
    return {{"ok", true}};
  }
  Operation& operation = *operations.at(id);
  if (what == "check") {
    operation.run();
    operation.write(request.at("folder"));
    return {{"ok", true}};
  }
  if (what != "time") throw std::runtime_error("unknown request: " + what);
  const std::int64_t warmup = request.value("warmup", 1), calls = request.at("calls");
  for (std::int64_t i = 0; i < warmup; ++i) operation.run();
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < calls; ++i) operation.run();
  const std::chrono::nanoseconds time = std::chrono::steady_clock::now() - start;
  return {{"ns", time.count()}};
}

}  // namespace detail

/// Answers requests until the input ends.
inline int serve(const json& hello, const MakeOperation& make) {
  detail::Operations operations;
  for (std::string line; std::getline(std::cin, line);) {
    json reply;
    try {
      reply = detail::answer(json::parse(line), hello, make, operations);
    } catch (const Unsupported& reason) {
      reply = {{"unsupported", reason.what()}};
    } catch (const std::exception& error) {
      reply = {{"error", error.what()}};
    }
    std::cout << reply.dump() << std::endl;
  }
  return 0;
}

}  // namespace evenrow::bench
