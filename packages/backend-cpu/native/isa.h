// Which instruction set the kernels run on: found from the CPU and the operating system, never from the CPU's name.
#pragma once

#include <string>

namespace ditkit {

// Baseline is what every CPU of the architecture has: SSE2 on x86-64, NEON on aarch64.
enum class Isa { Baseline = 0, Avx2 = 1, Avx512 = 2 };

// "baseline", "avx2" or "avx512".
const char* isa_name(Isa isa);

// The best set that both the CPU and the operating system support.
Isa detect_isa();

struct IsaChoice {
  Isa isa;
  std::string problem;  // empty, or why the environment's wish cannot be met; `isa` is then the detected one
};

// detect_isa(), or the set that DITKIT_ISA=baseline|avx2|avx512 asks for. An unknown or unsupported wish is never
// followed: `problem` says so and the caller reports it.
IsaChoice choose_isa();

}  // namespace ditkit
