// The attention commands: decode, check and enqueue.
#pragma once

namespace ditkit {

class Decoder;

void push_attention_forward(Decoder& in);
void push_attention_backward(Decoder& in);

}  // namespace ditkit
