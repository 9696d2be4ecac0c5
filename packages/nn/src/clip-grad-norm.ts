// Clipping of gradients by their global norm (Pascanu et al. 2013), as torch.nn.utils.clip_grad_norm_ does it.

import { add, assign, clamp, div, mul, noGrad, reshape, scope, sqrt, square, sum, type Tensor } from '@ditkit/core'

/**
 * Scales all gradients in place by min(1, maxNorm / (norm + 1e-6)), where norm is over all of them together. Weights
 * without a gradient are left out.
 * @returns the norm before clipping, one element, on the device
 * @throws Error when no weight has a gradient
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor {
  const gradients = [...parameters].flatMap(parameter => parameter.grad ?? [])
  return scope(() => {
    const norm = globalNorm(gradients)
    noGrad(() => {
      const coefficient = clamp(div(maxNorm, add(norm, 1e-6)), 0, 1)
      for (const gradient of gradients) assign(gradient, mul(gradient, coefficient))
    })
    return norm
  })
}

/** The 2-norm of all gradients together, one element. */
export function globalNorm(gradients: readonly Tensor[]): Tensor {
  if (gradients.length === 0) throw new Error('gradient norm: no weight has a gradient; call backward first')
  return scope(() =>
    noGrad(() => {
      const squares = gradients.map(gradient => reshape(sum(square(gradient)), [1]))
      return sqrt(squares.reduce((total, part) => add(total, part)))
    }),
  )
}
