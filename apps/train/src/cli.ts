#!/usr/bin/env node
// The `ditkit` command.

import { CheckpointError } from '@ditkit/checkpoint'
import { Command, InvalidArgumentError, Option } from 'commander'
import { builtInRecipes } from './config/load'
import { messageOf, UserError } from './errors'
import { packageVersion } from './package-files'

const program = new Command('ditkit')
  .description('Train, sample and evaluate Diffusion Transformers.')
  .version(packageVersion())
  .showHelpAfterError()

const out = () =>
  new Option('--out <folder>', 'where output/, checkpoints/ and models/ are').default('.', 'the current folder')
const overrides = 'settings to change, such as train.steps=200 or objective=ddpm'

program
  .command('train')
  .description('train a recipe; writes metrics, pictures, checkpoints and the final model')
  .argument('<recipe>', `${builtInRecipes().join(', ')}, or the path of a YAML file`)
  .argument('[overrides...]', overrides)
  .addOption(out())
  .option('--name <run>', "name of the run (default: the recipe's)")
  .addOption(new Option('--resume', 'continue exactly where the last checkpoint is').conflicts('overwrite'))
  .option('--overwrite', 'replace what another run left in the folder')
  .action(async (recipe: string, settings: string[], options) => {
    const { train } = await import('./train')
    const mode = options.resume ? 'resume' : options.overwrite ? 'overwrite' : 'new'
    const finished = await train({ recipe, overrides: settings, out: options.out, name: options.name, mode })
    if (!finished) process.exitCode = 130
  })

program
  .command('sample')
  .description('draw from a trained model: PNG, .pt, and an animation of the denoising')
  .argument('<model>', 'name of a run, or path of a model file or checkpoint folder')
  .argument('[overrides...]', 'settings to change, such as flow.solver=heun flow.sample_steps=50')
  .addOption(out())
  .option('--labels <classes>', 'classes to draw, separated by commas (default: all of them)')
  .option('--count <n>', 'number of images', wholeNumber)
  .option('--guidance <scale>', 'u + scale (c - u); 1 is none', number)
  .option('--seed <n>', 'another seed draws other images', wholeNumber, 0)
  .option('--to <path>', 'path of the files, without extension (default: output/samples/MODEL under --out)')
  .addOption(new Option('--animation <format>').choices(['webp', 'gif', 'none']).default('webp'))
  .action(async (model: string, settings: string[], options) => {
    const { defaultTarget, sample } = await import('./sample')
    await sample({ ...options, model, overrides: settings, to: options.to ?? defaultTarget(model, options.out) })
  })

program
  .command('eval')
  .description('judge the digits a run draws: accuracy by a classifier, Fréchet distance to real ones')
  .argument('<model>', 'name of a run, or path of a model file or checkpoint folder')
  .argument('[overrides...]', 'settings to change')
  .addOption(out())
  .action(async (model: string, settings: string[], options) => {
    const { evaluate } = await import('./evaluate/evaluate')
    await evaluate({ model, out: options.out, overrides: settings })
  })

program
  .command('doctor')
  .description('what this machine offers: devices, instruction sets, threads, kernels; and why the rest was not found')
  .action(async () => {
    const { doctor } = await import('./doctor')
    await doctor()
  })

program
  .command('bench')
  .description('measure against a peer in the same run, alternating, and report medians')
  .addArgument(new Command().createArgument('<what>', 'what to measure').choices(['step', 'gemm', 'attention']))
  .addOption(new Option('--peer <peer>', 'run this beside it').choices(['torch']))
  .option('--python <path>', 'Python that can import torch', 'python3')
  .option('--threads <n>', 'threads for both sides', wholeNumber, 2)
  .option('--runs <n>', 'measured runs of each side, at least five', wholeNumber, 5)
  .option('--json <path>', 'also write the figures here')
  .action(async (what: 'step' | 'gemm' | 'attention', options) => {
    const { bench } = await import('./bench/bench')
    await bench({ what, ...options })
  })

// Whoever reads the output may leave (`ditkit train digits | head`); training goes on.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
})

program.parseAsync().catch(error => {
  console.error(`ditkit: ${messageOf(error)}`)
  const expected = error instanceof UserError || error instanceof CheckpointError
  if (!expected && process.env.DITKIT_DEBUG) console.error(error)
  else if (!expected) console.error('(DITKIT_DEBUG=1 shows where this came from)')
  process.exitCode = 1
})

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('expected a whole number, 0 or more')
  return value
}

function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number')
  return value
}
