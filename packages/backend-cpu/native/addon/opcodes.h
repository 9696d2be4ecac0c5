// The numbers of the commands, the same as in src/opcodes.ts.
#pragma once

namespace ditkit {

enum class Opcode {
  Copy = 0,
  Fill = 1,
  Iota = 2,
  Random = 3,
  Elementwise = 4,
  Reduce = 5,
  Argmax = 6,
  Matmul = 7,
  Gather = 8,
  ScatterAdd = 9,
  Check = 10,
  LayerNorm = 11,
  LayerNormBackward = 12,
  GatedResidualBackward = 13,
  AdamW = 14,
  AttentionForward = 15,
  AttentionBackward = 16,
  FarthestPoints = 17,
  NearestPoints = 18,
};
constexpr int kOpcodes = 19;

}  // namespace ditkit
