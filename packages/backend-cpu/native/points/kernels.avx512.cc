// The searches as built for one instruction set; the build script gives the compiler flags.
#include "kernels.h"

#if defined(__x86_64__)
namespace ditkit {
namespace {

#include "../simd/vector.inc.h"
#include "search.inc"

}  // namespace

extern const PointKernels kPointsAvx512;
const PointKernels kPointsAvx512 = {approach, nearest};

}  // namespace ditkit
#endif
