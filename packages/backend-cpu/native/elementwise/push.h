// The elementwise primitive as a command.
#pragma once

namespace ditkit {

class Decoder;

void push_elementwise(Decoder& in);

}  // namespace ditkit
