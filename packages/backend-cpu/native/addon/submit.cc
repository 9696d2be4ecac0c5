#include "submit.h"

#include "../attention/push.h"
#include "../device/decoder.h"
#include "../elementwise/push.h"
#include "../ops/adamw.h"
#include "../ops/copy.h"
#include "../ops/index.h"
#include "../ops/matmul.h"
#include "../ops/norm.h"
#include "../ops/random.h"
#include "../ops/reduce.h"
#include "../points/push.h"
#include "opcodes.h"

namespace ditkit {

void submit(const double* numbers, int64_t count, Device& device) {
  Decoder in(numbers, count, device);
  in.require(!device.disposed(), "the device was disposed");
  switch (static_cast<Opcode>(in.integer(0, kOpcodes - 1, "opcode"))) {
    case Opcode::Copy: return push_copy(in);
    case Opcode::Fill: return push_fill(in);
    case Opcode::Iota: return push_iota(in);
    case Opcode::Random: return push_random(in);
    case Opcode::Elementwise: return push_elementwise(in);
    case Opcode::Reduce: return push_reduce(in);
    case Opcode::Argmax: return push_argmax(in);
    case Opcode::Matmul: return push_matmul(in);
    case Opcode::Gather: return push_gather(in);
    case Opcode::ScatterAdd: return push_scatter_add(in);
    case Opcode::Check: return push_check(in);
    case Opcode::LayerNorm: return push_layer_norm(in);
    case Opcode::LayerNormBackward: return push_layer_norm_backward(in);
    case Opcode::GatedResidualBackward: return push_gated_residual_backward(in);
    case Opcode::AdamW: return push_adamw(in);
    case Opcode::AttentionForward: return push_attention_forward(in);
    case Opcode::AttentionBackward: return push_attention_backward(in);
    case Opcode::FarthestPoints: return push_farthest_points(in);
    case Opcode::NearestPoints: return push_nearest_points(in);
  }
}

}  // namespace ditkit
