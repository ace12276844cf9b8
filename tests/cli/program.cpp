#include "cli/program.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "core/random.hpp"

namespace evenrow::test {
namespace {

core::RandomStream numbers(std::uint64_t instance) {
  return core::RandomStream(7, core::Purpose::test, instance);
}

}  // namespace

std::string Workplace::read(const std::string& name) const {
  EXPECT_TRUE(has(name)) << name << " is missing";
  return read_text(folder_ / name);
}

pid_t Workplace::start(const std::vector<std::string>& arguments, const std::string& out,
                       const std::string& err) const {
  std::vector<std::string> words{EVENROW_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string out_path = out.empty() ? (folder_ / "stdout").string() : out;
  const std::string err_path = err.empty() ? (folder_ / "stderr").string() : err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  const int flags = out.empty() ? O_WRONLY | O_CREAT | O_TRUNC : O_WRONLY;
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_path.c_str(), flags, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addchdir_np(&actions, folder_.path().c_str());
  pid_t child = -1;
  const int error = posix_spawn(&child, EVENROW_PROGRAM, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(error, 0) << EVENROW_PROGRAM << " cannot be run";
  return child;
}

Outcome Workplace::wait(pid_t child, const std::string& out) const {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return {.exit = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
          .out = out.empty() ? read_text(folder_ / "stdout") : "",
          .err = read_text(folder_ / "stderr")};
}

Outcome Workplace::run(const std::vector<std::string>& arguments, const std::string& out) const {
  return wait(start(arguments, out), out);
}

std::string flowers_csv(const std::vector<std::string>& species) {
  const auto random = numbers(1);
  const std::vector<std::string> colours{"white", "\"dark, red\"", "yellow"};
  std::ostringstream text;
  text << "length,width,colour,species\n";
  for (std::uint64_t i = 0; i < 240; ++i) {
    const std::uint64_t k = i % species.size();
    const double length = 4.0 + static_cast<double>(k) + 0.3 * random.normal(2 * i);
    const double width = 3.0 - 0.5 * static_cast<double>(k) + 0.3 * random.normal(2 * i + 1);
    text << length << ',';
    if (i % 17 != 3) text << width;  // a missing value now and then
    text << ',' << colours[(i / 5) % colours.size()] << ',' << species[k] << '\n';
  }
  return text.str();
}

std::string houses_csv() {
  const auto random = numbers(2);
  const std::vector<std::string> towns{"Nord", "Süd"};
  std::ostringstream text;
  text << "area,town,age,price\n";
  for (std::uint64_t i = 0; i < 200; ++i) {
    const double area = 50.0 + 100.0 * random.uniform(3 * i);
    const double age = 80.0 * random.uniform(3 * i + 1);
    const std::uint64_t town = i % 3 == 0 ? 1 : 0;
    const double price = 1000.0 * area + 30000.0 * static_cast<double>(town) - 200.0 * age +
                         2000.0 * random.uniform(3 * i + 2);
    text << area << ',' << towns[town] << ',';
    if (i % 13 != 5) text << age;
    text << ',' << price << '\n';
  }
  return text.str();
}

std::string idx_bytes(const std::vector<std::uint32_t>& dimensions, const std::string& values) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(dimensions.size())};
  for (const std::uint32_t size : dimensions) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>((size >> shift) & 0xFFu);
  }
  return bytes + values;
}

void write_images(const Workplace& workplace, const std::string& name) {
  constexpr std::uint32_t images = 120, side = 6, classes = 3;
  const auto random = numbers(3);
  std::string pixels, labels;
  for (std::uint32_t i = 0; i < images; ++i) {
    const std::uint32_t label = i % classes;
    labels += static_cast<char>(label);
    for (std::uint32_t p = 0; p < side * side; ++p) {
      // A class has two bright rows of its own.
      const bool bright = p / side / 2 == label;
      const double value = (bright ? 180.0 : 40.0) + 60.0 * random.uniform(i * side * side + p);
      pixels += static_cast<char>(static_cast<unsigned char>(value));
    }
  }
  workplace.write(name + "-images-idx3-ubyte", idx_bytes({images, side, side}, pixels));
  workplace.write(name + "-labels-idx1-ubyte", idx_bytes({images}, labels));
}

std::int64_t line_count(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

}  // namespace evenrow::test
