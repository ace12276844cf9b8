#include "data/isal.hpp"

#include <isa-l/crc.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace evenrow::data {
namespace {

#ifdef __x86_64__
[[gnu::target("avx")]] void clear_upper_halves() noexcept {
  _mm256_zeroupper();
}
#endif

void leave_vector_code() noexcept {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx")) clear_upper_halves();
#endif
}

}  // namespace

int inflate_some(inflate_state& stream) noexcept {
  const int status = isal_inflate(&stream);
  leave_vector_code();
  return status;
}

std::uint32_t crc32(std::uint32_t before, std::span<const std::uint8_t> bytes) noexcept {
  const std::uint32_t checksum = crc32_gzip_refl(before, bytes.data(), bytes.size());
  leave_vector_code();
  return checksum;
}

}  // namespace evenrow::data
