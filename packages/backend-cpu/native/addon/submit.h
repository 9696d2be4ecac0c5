// Decodes one command from the numbers JavaScript wrote and enqueues it.
#pragma once

#include <cstdint>

namespace ditkit {

class Device;

// Throws std::exception for anything that is not a valid call; the device is then unchanged.
void submit(const double* numbers, int64_t count, Device& device);

}  // namespace ditkit
