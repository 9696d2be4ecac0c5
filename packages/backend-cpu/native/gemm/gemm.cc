// The public face of matrix products: which kernels an instruction set gets, and weights packed beforehand.
#include "gemm.h"

#include "amx/driver.h"
#include "product.h"
#include "round.h"

namespace ditkit {

namespace {

// Whether bf16 products are taken by the driver of f32, on operands in pairs. What is too small for AMX is not: processors
// with AMX take four times as long to multiply a vector of pairs as for an FMA.
bool takes_pairs(Isa isa, Compute compute) {
#if defined(DITKIT_AVX512BF16)
  return isa == Isa::Avx512Bf16 && compute == Compute::Bf16;
#else
  (void)isa, (void)compute;
  return false;
#endif
}

const GemmKernels& kernels_for(Isa isa, Compute compute) {
  (void)compute;
#if defined(DITKIT_AVX512BF16)
  if (takes_pairs(isa, compute)) return kGemmAvx512Bf16;
#endif
#if defined(__x86_64__)
  if (isa >= Isa::Avx512) return kGemmAvx512;
  if (isa == Isa::Avx2) return kGemmAvx2;
  return kGemmBaseline;
#else
  (void)isa;
  return kGemmNeon;
#endif
}

}  // namespace

void gemm(const GemmArgs& args, ThreadPool& pool, Isa isa, Workspace& workspace) {
#if defined(DITKIT_AMX)
  if (isa == Isa::Amx && gemm_amx(args, pool, workspace)) return;
#endif
  if (args.compute == Compute::Bf16 && !takes_pairs(isa, args.compute)) {
    return gemm(with_rounded_operands(args, pool, workspace), pool, isa, workspace);
  }
  Product(args, kernels_for(isa, args.compute), pool, workspace).run(nullptr);
}

const char* bf16_instruction(Isa isa) {
  if (isa == Isa::Amx) return "AMX-BF16";
  return takes_pairs(isa, Compute::Bf16) ? "AVX512-BF16" : nullptr;
}

// With tiles, products pack for themselves behind their arithmetic: a weight in rows of n is all they can be spared.
size_t packed_b_floats(int64_t k, int64_t n, Isa isa, Compute compute) {
  if (isa == Isa::Amx) return static_cast<size_t>(k * n);
  const GemmKernels& kernels = kernels_for(isa, compute);
  return static_cast<size_t>(ceil_div(n, kernels.columns) * kernels.columns * ceil_div(k, kernels.values));
}

void pack_b(const float* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n, float* packed, ThreadPool& pool,
            Isa isa, Compute compute) {
  if (isa == Isa::Amx) {
    pool.run(k, [&](int64_t p, int) {
      for (int64_t j = 0; j < n; ++j) packed[p * n + j] = b[p * b_row + j * b_col];
    });
    return;
  }
  pack_all(kernels_for(isa, compute), b, b_row, b_col, k, n, packed, pool);
  if (compute == Compute::Bf16 && !takes_pairs(isa, compute)) round_to_bf16(packed, packed_b_floats(k, n, isa, compute));
}

void gemm_packed(const GemmArgs& args, const float* packed, ThreadPool& pool, Isa isa, Workspace& workspace) {
  if (isa == Isa::Amx) {
    GemmArgs plain = args;
    plain.b = packed;
    plain.b_row = args.n;
    plain.b_col = 1;
    for (int64_t& stride : plain.b_batch) stride = 0;
    return gemm(plain, pool, isa, workspace);
  }
  if (args.compute == Compute::Bf16 && !takes_pairs(isa, args.compute)) {
    GemmArgs rounded = args;
    rounded.b = nullptr;
    return gemm_packed(with_rounded_operands(rounded, pool, workspace), packed, pool, isa, workspace);
  }
  Product(args, kernels_for(isa, args.compute), pool, workspace).run(packed);
}

}  // namespace ditkit
