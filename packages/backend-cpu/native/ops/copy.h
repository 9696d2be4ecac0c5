// Strided copies with conversion, fills and ramps.
#pragma once

#include "../view.h"

namespace ditkit {

class Decoder;
struct Executor;

// Views of equal shape.
void run_copy(const View& from, const View& to, Executor& executor);

void push_copy(Decoder& in);
void push_fill(Decoder& in);
void push_iota(Decoder& in);

}  // namespace ditkit
