// Which instruction set the kernels run on: found from the CPU and the operating system, never from the CPU's name.
#pragma once

#include <string>

namespace ditkit {

// Baseline is what every CPU of the architecture has: SSE2 on x86-64, NEON on aarch64.
// Each has all of those before it. Kernels that have nothing of their own for a set use those of the best set below it.
enum class Isa { Baseline = 0, Avx2 = 1, Avx512 = 2, Avx512Bf16 = 3, Amx = 4 };

constexpr Isa kIsas[] = {Isa::Baseline, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16, Isa::Amx};

// "baseline", "avx2", "avx512", "avx512bf16" or "amx".
const char* isa_name(Isa isa);

// The best set that the CPU, the operating system and this build support. The first call asks the system for the use of
// AMX registers where there are any; that holds for the process.
Isa detect_isa();

struct IsaChoice {
  Isa isa;
  std::string problem;  // empty, or why the environment's wish cannot be met; `isa` is then the detected one
};

// detect_isa(), or the set that DITKIT_ISA=<name> asks for. An unknown or unsupported wish is never
// followed: `problem` says so and the caller reports it.
IsaChoice choose_isa();

}  // namespace ditkit
