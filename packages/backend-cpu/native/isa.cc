// Run-time CPU feature detection: cpuid for the CPU, xgetbv for what the operating system saves on a context switch.
#include "isa.h"

#include <cstdint>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ditkit {

namespace {

#if defined(__x86_64__)
uint64_t saved_register_state() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

Isa detect_once() {
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return Isa::Baseline;
  const bool fma = ecx & (1u << 12), osxsave = ecx & (1u << 27), avx = ecx & (1u << 28);
  if (!osxsave || !avx || !fma) return Isa::Baseline;
  const uint64_t saved = saved_register_state();
  constexpr uint64_t kYmm = 0x6;      // SSE and AVX state
  constexpr uint64_t kZmm = 0xe0;     // mask registers and both parts of the 512-bit state
  if ((saved & kYmm) != kYmm) return Isa::Baseline;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return Isa::Baseline;
  if (!(ebx & (1u << 5))) return Isa::Baseline;
  constexpr uint32_t kAvx512 = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F, DQ, BW, VL
  const bool avx512 = (ebx & kAvx512) == kAvx512 && (saved & kZmm) == kZmm;
  return avx512 ? Isa::Avx512 : Isa::Avx2;
}
#else
Isa detect_once() { return Isa::Baseline; }
#endif

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
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
  for (Isa isa : {Isa::Baseline, Isa::Avx2, Isa::Avx512}) {
    if (std::string(wish) != isa_name(isa)) continue;
    if (static_cast<int>(isa) <= static_cast<int>(found)) return {isa, ""};
    return {found, std::string("DITKIT_ISA asks for ") + wish + " but this CPU or operating system supports only " +
                       isa_name(found) + " (unset DITKIT_ISA)"};
  }
  return {found, std::string("DITKIT_ISA is '") + wish + "' (expected baseline, avx2 or avx512)"};
}

}  // namespace ditkit
