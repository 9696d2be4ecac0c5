// Counter-based random fills.
#pragma once

namespace ditkit {

class Decoder;

void push_random(Decoder& in);

}  // namespace ditkit
