// Memory whose end, or whose start, touches a page that may be neither read nor written.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

namespace evenrow {

enum class Fence { behind, before };

/// `n` values, all zero, with the fence right behind the last one or right before the first one.
/// Any access beyond it ends the program.
template <class T>
class Fenced {
 public:
  Fenced(std::int64_t n, Fence fence) : size_(static_cast<std::size_t>(n)) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t bytes = size_ * sizeof(T);
    const std::size_t inside = std::max<std::size_t>(1, (bytes + page - 1) / page) * page;
    mapped_ = inside + 2 * page;
    void* const all =
        ::mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    start_ = static_cast<std::byte*>(all);
    std::byte* const first = start_ + page;
    if (::mprotect(first, inside, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(fence == Fence::before ? first : first + inside - bytes);
  }
  Fenced(Fenced&& other) noexcept
      : start_(std::exchange(other.start_, nullptr)),
        mapped_(other.mapped_),
        size_(other.size_),
        data_(other.data_) {}
  Fenced& operator=(Fenced&&) = delete;
  ~Fenced() {
    if (start_ != nullptr) ::munmap(start_, mapped_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  std::byte* start_ = nullptr;
  std::size_t mapped_ = 0, size_ = 0;
  T* data_ = nullptr;
};

}  // namespace evenrow
