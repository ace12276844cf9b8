// The Python side of a test: scripts of tests/python with the packages of tests/requirements.txt.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>

namespace evenrow {

/// Runs tests/python/<script> (or a script anywhere, by its whole path) with these arguments (free
/// of quotes) and fails the test, saying what to do, when the interpreter is missing or the script
/// fails.
inline void run_python(const std::string& script, std::initializer_list<std::string> arguments) {
  ASSERT_TRUE(std::filesystem::exists(EVENROW_PYTHON))
      << EVENROW_PYTHON << " is missing: run `bash scripts/setup.sh`, which makes it from "
      << "tests/requirements.txt, or configure with -DEVENROW_PYTHON=<interpreter that has them>";
  const std::filesystem::path path = std::filesystem::path(EVENROW_TEST_PYTHON) / script;
  std::string command = "'" EVENROW_PYTHON "' '" + path.string() + "'";
  for (const std::string& argument : arguments) command.append(" '").append(argument).append("'");
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

}  // namespace evenrow
