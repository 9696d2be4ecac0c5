// The settings that an ablation of `detect` compares.

export interface Variant {
  readonly name: string
  readonly overrides: readonly string[]
}

/** Without a bias there is no scale to learn. */
export const VARIANTS: readonly Variant[] = [
  { name: 'no bias', overrides: ['detect.bias=none'] },
  ...['dense', 'factored'].flatMap(bias =>
    [true, false].map(learned => ({
      name: `${bias} bias, scale ${learned ? 'learned' : 'frozen'}`,
      overrides: [`detect.bias=${bias}`, `detect.learn_bias_scale=${learned}`],
    })),
  ),
]
