// Matrix products: turns batched, strided operands into calls of the GEMM engine.
#pragma once

namespace ditkit {

class Decoder;

void push_matmul(Decoder& in);

}  // namespace ditkit
