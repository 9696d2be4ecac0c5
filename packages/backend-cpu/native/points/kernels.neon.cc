// The searches as built for one instruction set; the build script gives the compiler flags.
#include "kernels.h"

#if defined(__aarch64__)
namespace ditkit {
namespace {

#include "../simd/vector.inc.h"
#include "search.inc"

}  // namespace

extern const PointKernels kPointsBaseline;
const PointKernels kPointsBaseline = {approach, nearest};

}  // namespace ditkit
#endif
