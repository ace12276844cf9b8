#include "norm/c_status.hpp"

#include <exception>
#include <new>
#include <stdexcept>

#include "evenrow/error.hpp"

namespace evenrow::norm {
namespace {

// The exception itself is kept, not a copy of its message: a copy could run out of memory.
struct LastError {
  std::exception_ptr exception;
  const char* message = "";
};
thread_local LastError last_error;

evenrow_status keep(evenrow_status status, const char* message) noexcept {
  last_error = {std::current_exception(), message};
  return status;
}

evenrow_status status_of(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::usage:
      return EVENROW_USAGE;
    case ErrorKind::data:
      return EVENROW_DATA;
    case ErrorKind::io:
      return EVENROW_IO;
    case ErrorKind::training:
      return EVENROW_TRAINING;
  }
  return EVENROW_INTERNAL;
}

}  // namespace

evenrow_status keep_current_exception() noexcept {
  constexpr const char* kNoMemory = "out of memory; use smaller tensors or free some";
  try {
    throw;
  } catch (const Error& error) {
    return keep(status_of(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return keep(EVENROW_OUT_OF_MEMORY, kNoMemory);
  } catch (const std::length_error&) {  // a vector larger than any memory
    return keep(EVENROW_OUT_OF_MEMORY, kNoMemory);
  } catch (const std::exception& error) {
    return keep(EVENROW_INTERNAL, error.what());
  } catch (...) {
    return keep(EVENROW_INTERNAL, "an exception of an unknown type");
  }
}

}  // namespace evenrow::norm

extern "C" const char* evenrow_last_error(void) noexcept {
  return evenrow::norm::last_error.message;
}
