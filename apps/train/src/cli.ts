#!/usr/bin/env node
// The `ditkit` command.

import { CheckpointError } from '@ditkit/checkpoint'
import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { GROUPS, type Group, PEERS } from './bench/experiment'
import { builtInRecipes } from './config/load'
import { messageOf, UserError } from './errors'
import { packageVersion } from './package-files'
import { UP_AXES } from './up-axes'

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
  .description(
    'draw from a trained model: images with an animation of the denoising, or grasps for a scene; PNG and .pt',
  )
  .argument('<model>', 'name of a run, or path of a model file or checkpoint folder')
  .argument('[overrides...]', 'settings to change, such as flow.solver=heun flow.sample_steps=50')
  .addOption(out())
  .option('--labels <classes>', 'classes to draw, separated by commas (default: all of them)')
  .option('--scene <file>', 'of a grasp model: the cloud or mesh to grasp in (OBJ, PLY, PCD, XYZ; metres)')
  .option('--text <words>', 'of a grasp model: what to grasp, such as "a mug"')
  .option('--negative <words>', 'of a grasp model: what not to grasp; needs a guidance other than 1')
  .addOption(
    new Option('--up <axis>', 'of a grasp model: which axis of the scene points up (default: z)').choices(UP_AXES),
  )
  .option('--table', 'of a grasp model: the scene is a scan of a table; keep what stands on it')
  .option('--count <n>', 'number of images, or of grasps', wholeNumber)
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
  .description('judge what a run draws: digits by a classifier, grasps by closing a gripper on objects it never saw')
  .argument('<model>', 'name of a run, or path of a model file or checkpoint folder')
  .argument('[overrides...]', 'settings to change')
  .addOption(out())
  .action(async (model: string, settings: string[], options) => {
    const { evaluate } = await import('./evaluate/evaluate')
    await evaluate({ model, out: options.out, overrides: settings })
  })

program
  .command('plan')
  .description('predict memory and arithmetic of a configuration before running it, and what would free memory')
  .argument('<recipe>', `${builtInRecipes().join(', ')}, or the path of a YAML file`)
  .argument('[overrides...]', overrides)
  .option('--memory <amount>', "8GB and the like (default: this machine's)")
  .option('--json <path>', 'also write the figures here')
  .action(async (recipe: string, settings: string[], options) => {
    const { plan } = await import('./plan/plan')
    await plan({ recipe, overrides: settings, ...options })
  })

program
  .command('ablate')
  .description('train a recipe with and without its parts, several seeds each, and tabulate what each is worth')
  .addArgument(new Argument('<recipe>', 'what is known to ablate').choices(['detect']))
  .argument('[overrides...]', overrides)
  .addOption(out())
  .option('--steps <n>', 'training steps of each run', positive, 400)
  .option('--seeds <n>', 'runs of each variant', positive, 3)
  .option('--scenes <n>', 'scenes of held-out objects that the final weights are scored on', positive, 256)
  .option('--overwrite', 'train again what is already there; otherwise finished runs are kept, and others go on')
  .action(async (_recipe: string, settings: string[], options) => {
    const { ablate } = await import('./ablate/ablate')
    const finished = await ablate({ ...options, overrides: settings })
    if (!finished) process.exitCode = 130
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
  .description('measure against peers in the same run, alternating, and report medians and ratios')
  .addArgument(
    new Argument('[group]', 'what to measure (default: all, against every peer that is there)').choices(GROUPS),
  )
  .addOption(new Option('--peer <peers...>', 'with a group: what to run beside it').choices(PEERS))
  .option('--case <pattern>', 'only cases whose name contains this, such as "dit-s"')
  .option('--python <path>', 'Python that can import torch', 'python3')
  .option('--python-openblas <path>', "Python whose torch uses OpenBLAS, such as Debian's", '/usr/bin/python3')
  .option('--openblas-core <name>', "OpenBLAS's core type, such as SKYLAKEX (default: the fastest of several)")
  .option('--install-peers', 'install the peers that are npm packages, at pinned versions, into a cache folder')
  .option('--threads <n>', 'threads for both sides', positive, 2)
  .option('--runs <n>', 'measured runs of each side, at least five', wholeNumber, 5)
  .option('--quick', 'two runs of each side, to see that everything works')
  .option('--markdown', 'print the table as Markdown')
  .option('--json <path>', 'also write the figures here')
  .action(async (group: Group | undefined, { peer, case: pattern, ...options }) => {
    const { bench } = await import('./bench/bench')
    await bench({ group, peers: peer, pattern, ...options })
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

function positive(text: string): number {
  const value = wholeNumber(text)
  if (value === 0) throw new InvalidArgumentError('expected a whole number, 1 or more')
  return value
}

function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number')
  return value
}
