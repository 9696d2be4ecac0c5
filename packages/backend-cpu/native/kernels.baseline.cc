// The kernels as built for one instruction set; the build script gives the compiler flags.
#define DITKIT_NAMESPACE baseline
#include "kernels.inc.h"
