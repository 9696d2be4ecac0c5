// Run-time CPU feature detection: cpuid for the CPU, xgetbv for what the operating system saves on a context switch.
#include "isa.h"

#include <cstdint>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ditkit {

namespace {

#if defined(__x86_64__)
uint64_t saved_register_state() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

#if defined(DITKIT_AMX)
// Whether tile registers may be used: saved by the system, and on Linux granted to a process that asks, as they make
// every signal frame 8 KiB larger.
bool may_use_tiles(uint64_t saved) {
  constexpr uint64_t kTiles = (1u << 17) | (1u << 18);
  if ((saved & kTiles) != kTiles) return false;
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

Isa detect_once() {
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return Isa::Baseline;
  const bool fma = ecx & (1u << 12), osxsave = ecx & (1u << 27), avx = ecx & (1u << 28), f16c = ecx & (1u << 29);
  if (!osxsave || !avx || !fma || !f16c) return Isa::Baseline;
  const uint64_t saved = saved_register_state();
  constexpr uint64_t kYmm = 0x6;      // SSE and AVX state
  constexpr uint64_t kZmm = 0xe0;     // mask registers and both parts of the 512-bit state
  if ((saved & kYmm) != kYmm) return Isa::Baseline;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return Isa::Baseline;
  constexpr uint32_t kAvx2 = (1u << 3) | (1u << 5) | (1u << 8);  // BMI1, AVX2, BMI2: all that its kernels are compiled for
  if ((ebx & kAvx2) != kAvx2) return Isa::Baseline;
  const uint32_t features = ebx;
  [[maybe_unused]] const uint32_t more = edx;
  if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 5))) return Isa::Baseline;  // LZCNT
  constexpr uint32_t kAvx512 = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F, DQ, BW, VL
  const bool avx512 = (features & kAvx512) == kAvx512 && (saved & kZmm) == kZmm;
  if (!avx512) return Isa::Avx2;
  constexpr uint32_t kTileBf16 = (1u << 22) | (1u << 24);  // AMX-BF16, AMX-TILE
  constexpr uint32_t kFp16 = 1u << 23;                     // AVX512_FP16, on all cores that have tiles
  [[maybe_unused]] const bool tiles = (more & kTileBf16) == kTileBf16;
  // Such cores take four times as long for vdpbf16ps as for an FMA: where tiles may not be used, bf16 is better emulated.
  [[maybe_unused]] const bool slow_pairs = more & (kTileBf16 | kFp16);
#if defined(DITKIT_AVX512BF16)
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !(eax & (1u << 5))) return Isa::Avx512;
#if defined(DITKIT_AMX)
  if (tiles && may_use_tiles(saved)) return Isa::Amx;
#endif
  return slow_pairs ? Isa::Avx512 : Isa::Avx512Bf16;
#else
  return Isa::Avx512;
#endif
}
#else
Isa detect_once() { return Isa::Baseline; }
#endif

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::Amx: return "amx";
    case Isa::Avx512Bf16: return "avx512bf16";
    case Isa::Avx512: return "avx512";
    case Isa::Avx2: return "avx2";
    case Isa::Baseline: break;
  }
  return "baseline";
}

Isa detect_isa() {
  static const Isa found = detect_once();
  return found;
}

IsaChoice choose_isa() {
  const Isa found = detect_isa();
  const char* wish = std::getenv("DITKIT_ISA");
  if (wish == nullptr || *wish == '\0') return {found, ""};
  for (Isa isa : kIsas) {
    if (std::string(wish) != isa_name(isa)) continue;
    if (static_cast<int>(isa) <= static_cast<int>(found)) return {isa, ""};
    return {found, std::string("DITKIT_ISA asks for ") + wish + " but this CPU or operating system supports only " +
                       isa_name(found) + " (unset DITKIT_ISA)"};
  }
  return {found, std::string("DITKIT_ISA is '") + wish + "' (expected baseline, avx2, avx512, avx512bf16 or amx)"};
}

}  // namespace ditkit
