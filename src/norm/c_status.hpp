// Exceptions stop here: what a call of the C interface throws becomes a status and a message.
#pragma once

#include "evenrow/evenrow.h"

namespace evenrow::norm {

/// The status of the exception that is being handled; its message is evenrow_last_error() from now
/// on.
evenrow_status keep_current_exception() noexcept;

template <class Call>
evenrow_status guarded(const Call& call) noexcept {
  try {
    call();
    return EVENROW_OK;
  } catch (...) {
    return keep_current_exception();
  }
}

}  // namespace evenrow::norm
