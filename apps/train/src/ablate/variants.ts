// The settings that an ablation of `detect` compares: no bias; a window and a Gaussian on the dense route, which tells shapes apart; and the
// Gaussian as factors, which tells routes apart. A window has no factors.

export interface Variant {
  readonly name: string
  readonly overrides: readonly string[]
}

const BIASES = [
  { name: 'dense window', overrides: ['detect.bias=dense', 'detect.bias_shape=window'] },
  { name: 'dense Gaussian', overrides: ['detect.bias=dense', 'detect.bias_shape=gaussian'] },
  { name: 'factored Gaussian', overrides: ['detect.bias=factored', 'detect.bias_shape=gaussian'] },
]

/** Without a bias there is no scale to learn. */
export const VARIANTS: readonly Variant[] = [
  { name: 'no bias', overrides: ['detect.bias=none'] },
  ...BIASES.flatMap(({ name, overrides }) =>
    [true, false].map(learned => ({
      name: `${name}, scale ${learned ? 'learned' : 'frozen'}`,
      overrides: [...overrides, `detect.learn_bias_scale=${learned}`],
    })),
  ),
]
