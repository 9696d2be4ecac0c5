// Layer norm with shift and scale, its gradient, and the gradient of a gated residual: x [B, N, C], one pass per row.
#pragma once

namespace ditkit {

class Decoder;

void push_layer_norm(Decoder& in);
void push_layer_norm_backward(Decoder& in);
void push_gated_residual_backward(Decoder& in);

}  // namespace ditkit
