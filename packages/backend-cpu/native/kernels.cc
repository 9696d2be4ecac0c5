#include "kernels.h"

namespace ditkit {

#if defined(__aarch64__)
namespace neon {
extern const Kernels kKernels;
}
const Kernels& kernels_for(Isa) { return neon::kKernels; }
#else
namespace baseline {
extern const Kernels kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

const Kernels& kernels_for(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::Avx512) return avx512::kKernels;
  if (isa == Isa::Avx2) return avx2::kKernels;
#endif
  static_cast<void>(isa);
  return baseline::kKernels;
}
#endif

}  // namespace ditkit
