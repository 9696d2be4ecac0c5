// Sums, maxima and minima over any axes. How the work is cut, and so the order of a sum, depends on the shape alone.
#pragma once

namespace ditkit {

class Decoder;

void push_reduce(Decoder& in);
void push_argmax(Decoder& in);

}  // namespace ditkit
