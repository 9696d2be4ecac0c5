// Replays a step whose loss or gradient was not finite, in a checking mode, and names where it began.

import { backward, openDevice, scopeAsync } from '@ditkit/core'
import type { Module } from '@ditkit/nn'
import { outcomeOf } from '../training/outcome'
import type { Session } from '../training/session'
import { FiniteChecks } from './finite-backend'

/**
 * One clause on the first non-finite tensor of a step (counted from 0): a sample, a weight, or the result of an op, with
 * the module it ran in. The optimizer skipped the step, so the weights are those it met, or one or two steps newer.
 */
export async function explainNonFinite(session: Session, step: number): Promise<string> {
  const { batches, objective } = session
  for (const { batch } of batches.ofStep(step)) {
    const found = batch.nonFinite()
    if (found) return found
  }
  const weights = await session.model.stateDict()
  for (const [name, { data }] of Object.entries(weights)) {
    const bad = data.find((value: number) => !Number.isFinite(value))
    if (bad !== undefined) return `weight ${name} holds ${bad}`
  }
  const checks = new FiniteChecks(session.device.backend)
  const device = await openDevice(checks.backend)
  const model = session.task.buildModel(device, session.keys.init, session.config)
  await model.loadStateDict(weights)
  checks.where = trackModules(model)
  checks.recording = true
  for (const { batch, key } of batches.ofStep(step))
    await scopeAsync(async s => {
      const { loss } = await outcomeOf(s.run, batch, { device, model, objective }, key)
      s.run(() => backward(loss))
    })
  checks.recording = false
  const found = await checks.first()
  model.dispose()
  return found
    ? `the first tensor that is not finite is ${found}`
    : 'every tensor is finite, so the gradient norm itself overflows'
}

/** Wraps every module's forward, so that the returned function can say which module runs. */
function trackModules(model: Module): () => string {
  const running: string[] = []
  let forwardDone = false
  for (const [name, module] of model.namedModules()) {
    const target = module as unknown as { forward?: (...args: unknown[]) => unknown }
    const original = target.forward
    if (!original) continue
    // Not enumerable: a module's own fields are its weights.
    Object.defineProperty(target, 'forward', {
      value: (...args: unknown[]) => {
        forwardDone = false
        running.push(name || 'the model')
        try {
          return original.apply(module, args)
        } finally {
          running.pop()
          forwardDone = running.length === 0
        }
      },
    })
  }
  return () =>
    running.length > 0 ? `in ${running.at(-1)}` : forwardDone ? 'after the model’s forward pass' : 'before the model'
}
