// Counts how often, and for how much, operator new is asked, in the whole executable: to be
// included by one of its sources.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace evenrow {

inline std::atomic<std::int64_t> allocations = 0, allocated_bytes = 0;

template <class Call>
std::int64_t allocations_of(const Call& call) {
  const std::int64_t before = allocations;
  call();
  return allocations - before;
}

}  // namespace evenrow

// Not inlined: GCC would see only one of the two, and warn that they do not match.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++evenrow::allocations;
  evenrow::allocated_bytes += static_cast<std::int64_t>(size);
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
// Sanitizers have one of their own, whose memory is not for free().
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++evenrow::allocations;
  evenrow::allocated_bytes += static_cast<std::int64_t>(size);
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  ++evenrow::allocations;
  evenrow::allocated_bytes += static_cast<std::int64_t>(size);
  const auto lines = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(lines, (size + lines - 1) / lines * lines)) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
