#include "core/caches.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

namespace evenrow::core {
namespace {

// Bytes of the data cache of this level that the first processor uses, or 0: what Linux says of it
// in files such as .../index3/size, "32768K".
std::int64_t listed(int wanted) noexcept {
  constexpr int kMostIndices = 16, kMostText = 128;
  for (int index = 0; index < kMostIndices; ++index) {
    const auto read = [index](const char* name, const char* format, auto* value) {
      char path[kMostText];
      std::snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index,
                    name);
      const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "re"),
                                                                 &std::fclose);
      return file != nullptr && std::fscanf(file.get(), format, value) == 1;
    };
    int level = 0;
    char type = 0;  // of Data, Instruction, Unified
    long long kibibytes = 0;
    if (!read("level", "%d", &level)) return 0;
    if (level == wanted && read("type", "%c", &type) && type != 'I' &&
        read("size", "%lldK", &kibibytes)) {
      return std::clamp<std::int64_t>(kibibytes, 0, std::int64_t{1} << 30) * 1024;
    }
  }
  return 0;
}

// Not sysconf for the last level: on processors of several dies it adds up those of all of them.
// A virtual machine with two of sixty processors is told of the whole cache, and gets its part of
// it at best.
CacheSizes found() noexcept {
  constexpr std::int64_t kMostAProcessor = std::int64_t{16} << 20;
  const long own = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  const std::int64_t listed_own = listed(2), listed_shared = listed(3);
  const std::int64_t core = listed_own > 0 ? listed_own : own > 0 ? own : std::int64_t{1} << 20;
  const std::int64_t share =
      std::max<std::int64_t>(1, ::sysconf(_SC_NPROCESSORS_ONLN)) * kMostAProcessor;
  const std::int64_t shared = listed_shared > 0 ? listed_shared : std::int64_t{1} << 24;
  return {core, std::max(core, std::min(shared, share))};
}

}  // namespace

const CacheSizes& cache_sizes() noexcept {
  static const CacheSizes sizes = found();
  return sizes;
}

}  // namespace evenrow::core
