// Rows by index: gather and scatter-add, and the check of a condition on the device.
#pragma once

namespace ditkit {

class Decoder;

void push_gather(Decoder& in);
void push_scatter_add(Decoder& in);
void push_check(Decoder& in);

}  // namespace ditkit
