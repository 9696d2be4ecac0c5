// AdamW over all parameters at once (Loshchilov & Hutter, arXiv:1711.05101), with clipping by global norm and an
// exponential moving average.
#pragma once

namespace ditkit {

class Decoder;

void push_adamw(Decoder& in);

}  // namespace ditkit
