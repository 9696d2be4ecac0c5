#include "kernels.h"

namespace ditkit {

extern const PointKernels kPointsBaseline;
#if defined(__x86_64__)
extern const PointKernels kPointsAvx2;
extern const PointKernels kPointsAvx512;
#endif

const PointKernels& point_kernels_for(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::Avx512) return kPointsAvx512;
  if (isa == Isa::Avx2) return kPointsAvx2;
#endif
  static_cast<void>(isa);
  return kPointsBaseline;
}

}  // namespace ditkit
