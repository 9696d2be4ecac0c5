// All kernels of one instruction set, in its namespace.
#include <cstdint>

#include "elementwise/plan.h"
#include "kernels.h"

namespace ditkit {
namespace DITKIT_NAMESPACE {

#include "simd/vector.inc.h"

#include "elementwise/interpret.inc.h"
#include "ops/add.inc.h"
#include "ops/norm.inc.h"
#include "ops/adamw.inc.h"
#include "ops/random.inc.h"
#include "ops/reduce.inc.h"
#include "ops/transpose.inc.h"

extern const Kernels kKernels;
const Kernels kKernels = {
    elementwise, sum_array, max_array, min_array, reduce_columns, add, random_fill, transpose,
    norm_rows, norm_gradient_rows, gate_gradient_rows, sum_of_squares, adamw_update,
};

}  // namespace DITKIT_NAMESPACE
}  // namespace ditkit
