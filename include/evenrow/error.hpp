// The one exception type of the library.
#pragma once

#include <stdexcept>
#include <string>

namespace evenrow {

/// What went wrong, coarsely: enough for a program to choose an exit code or to retry.
enum class ErrorKind {
  usage,     ///< A caller's mistake: an argument, an option, a network that cannot be built.
  data,      ///< A file or a model whose content is not what it should be.
  io,        ///< The operating system refused: missing file, full disk, no permission.
  training,  ///< Training cannot go on: loss or gradients stopped being finite.
};

/// Thrown for a caller's mistake, a bad file or a training run that cannot go on.
/// `what()` names the argument, or the file and line, then what was expected, what was found and
/// what to do. The library throws nothing else of its own (std::bad_alloc passes through).
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace evenrow
