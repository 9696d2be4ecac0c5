// The kernels as built for one instruction set; the build script gives the compiler flags.
#define DITKIT_NAMESPACE neon
#include "kernels.inc.h"
