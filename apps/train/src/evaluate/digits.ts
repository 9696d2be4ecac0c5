// Judges drawn digits: how often a classifier reads the class that was asked for, and how far their features are from
// those of real test images (sameness shows there), with guidance and without; beside the floor, real training images.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stateDict } from '@ditkit/checkpoint'
import { openPt } from '@ditkit/checkpoint/node'
import { permutation, rngKey } from '@ditkit/core'
import { type Mnist, readMnist } from '../data/mnist'
import { drawImages, evenLabels } from '../draw'
import { UserError } from '../errors'
import type { TrainedImages } from '../model/trained'
import { startProgress } from '../report/progress'
import { RunFolder } from '../run/folder'
import { runKeys } from '../training/session'
import { accuracy, openClassifier, readImages } from './classifier'
import { frechetDistance } from './frechet'
import { writeResult } from './write-result'

export interface Judgement {
  readonly images: number
  /** Share read as the class that was asked for. */
  readonly accuracy: number
  /** To all real test images. */
  readonly frechet_distance: number
}

export async function evaluateDigits(trained: TrainedImages, out: string): Promise<void> {
  const { device, config, format, path } = trained
  if (config.data.kind !== 'mnist' || format.classes.length === 0) {
    throw new UserError(`eval judges models of the data set mnist; ${path} was trained on ${config.data.kind}`)
  }
  const run = new RunFolder(out, trained.run)
  const data = readMnist(config.data.folder)
  const kept = join(out, 'models', `classifier-${data.train.fingerprint().slice(0, 8)}.safetensors`)
  const classifier = await openClassifier(device, data, kept)
  const test = data.test.read(indices(data.test.count))
  const real = await readImages(classifier, test.images)
  const judge = async (images: Float32Array, labels: Int32Array): Promise<Judgement> => {
    const reading = await readImages(classifier, images)
    return {
      images: labels.length,
      accuracy: accuracy(reading, labels),
      frechet_distance: frechetDistance(reading.features, real.features),
    }
  }
  const labels = evenLabels(format.classes.length, config.sample.count)!
  const { guidance } = config.sample
  const guided = (await samplesOfRun(run, trained)) ?? (await draw(trained, labels, guidance))
  const result = {
    run: trained.run,
    model: path,
    classifier_test_accuracy: accuracy(real, test.labels),
    guidance,
    guided: await judge(guided, labels),
    unguided: await judge(await draw(trained, labels, 1), labels),
    floor: await judgeRealTraining(data, labels, judge),
  }
  printTable(result)
  await writeResult(out, result)
}

/** One image per label, from the same noise that training drew its samples from. */
async function draw(trained: TrainedImages, labels: Int32Array, guidance: number): Promise<Float32Array> {
  const { device, model, config, format } = trained
  const title = guidance === 1 ? 'Drawing without guidance' : `Drawing with guidance ${guidance}`
  const count = labels.length
  const progress = startProgress(title, count, 'images')
  const key = runKeys(config.seed).draw
  const { data } = await drawImages({ device, model, config, format, key, labels, count, guidance, progress })
  progress.stop()
  return data.map(value => Math.min(1, Math.max(-1, value)))
}

/** The images that training drew from this very model with these very settings; undefined when they are not at hand. */
async function samplesOfRun(
  run: RunFolder,
  { run: own, config, changed, path }: TrainedImages,
): Promise<Float32Array | undefined> {
  const [summary, samples] = [run.metrics('summary.json'), run.metrics('generated_samples.pt')]
  if (changed || path !== run.model || !existsSync(summary) || !existsSync(samples)) return undefined
  const { run: name, status } = JSON.parse(readFileSync(summary, 'utf8')) as { run?: string; status?: string }
  if (name !== own || status !== 'finished') return undefined
  await using file = await openPt(samples)
  const tensor = await stateDict(file.value).get('samples')?.read()
  return tensor?.dtype === 'f32' && tensor.shape[0] === config.sample.count ? tensor.data : undefined
}

/** As many real training images of the same classes as were drawn: what a perfect model would get. */
async function judgeRealTraining(
  data: Mnist,
  labels: Int32Array,
  judge: (images: Float32Array, labels: Int32Array) => Promise<Judgement>,
) {
  const left = Array.from(data.classes, (_, label) => labels.filter(l => l === label).length)
  const chosen = [...permutation(rngKey(0), data.train.count)].filter(index => left[data.train.labels[index]]-- > 0)
  const { images, labels: own } = data.train.read(chosen)
  return judge(images, own)
}

function printTable(result: {
  classifier_test_accuracy: number
  guidance: number
  guided: Judgement
  unguided: Judgement
  floor: Judgement
}): void {
  const row = (name: string, { images, accuracy, frechet_distance }: Judgement) =>
    `${name.padEnd(34)} ${String(images).padStart(6)}  ${percent(accuracy).padStart(8)}  ${frechet_distance.toFixed(2).padStart(16)}`
  console.log(`\nThe classifier reads ${percent(result.classifier_test_accuracy)} of the real test images right.\n`)
  console.log(`${''.padEnd(34)} ${'images'}  ${'accuracy'}  ${'Fréchet distance'}`)
  console.log(row(`drawn with guidance ${result.guidance}`, result.guided))
  console.log(row('drawn without guidance', result.unguided))
  console.log(`${row('real training images (the floor)', result.floor)}\n`)
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`
const indices = (count: number) => Array.from({ length: count }, (_, i) => i)
