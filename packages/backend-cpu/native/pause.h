// What a spinning thread does between two looks: tells the processor to leave the core's resources to its neighbour.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ditkit {

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace ditkit
