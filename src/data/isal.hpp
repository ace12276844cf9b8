// The two functions of ISA-L that are used here, followed by what they leave out: its vector code
// does not clear the upper halves of the registers, and until somebody does, every instruction of
// the older sets waits for them (235,000 random numbers took 72 ms afterwards, not 12).
#pragma once

#include <isa-l/igzip_lib.h>

#include <cstdint>
#include <span>

namespace evenrow::data {

/// As isal_inflate.
int inflate_some(inflate_state& stream) noexcept;

/// The CRC-32 of gzip, continued from that of what came before (0 at first).
std::uint32_t crc32(std::uint32_t before, std::span<const std::uint8_t> bytes) noexcept;

}  // namespace evenrow::data
