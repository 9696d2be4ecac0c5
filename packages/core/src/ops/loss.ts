// The two losses of generative training: squared error and cross-entropy.

import { callSite } from '../call-site'
import { program } from '../program'
import { internally } from '../scope'
import { showShape } from '../shape'
import type { Tensor } from '../tensor'
import { equal, mul, sub } from './binary'
import { reshape } from './layout'
import { checkDType, sharedDevice } from './operands'
import { logSoftmax, mean, sum } from './reduce'
import { run } from './run-program'
import { square } from './unary'
import { where } from './where'

/** Mean of (prediction − target)² over all elements; shapes must be equal. */
export function mseLoss(prediction: Tensor, target: Tensor): Tensor {
  return internally(() => {
    if (showShape(prediction.shape) !== showShape(target.shape)) {
      throw new RangeError(
        `mseLoss: prediction has shape ${showShape(prediction.shape)} but target ${showShape(target.shape)}`,
      )
    }
    return mean(square(sub(prediction, target)))
  })
}

const IS_CLASS = program('label check', 1, 1, (b, label, classes) =>
  b.and(b.le(b.constant(0), label), b.lt(label, classes)),
)

/**
 * Mean over N of −log softmax(logits)[label]; logits [N, K], labels i32 [N]. A label outside 0 … K−1 is only seen on the device: the
 * next read or `sync()` rejects, naming this call. (PyTorch's −100 for "ignore" is such a label: leave those rows out.)
 */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return internally(() => {
    checkDType('crossEntropy', 'labels', labels, 'i32')
    if (logits.rank !== 2 || labels.rank !== 1 || labels.shape[0] !== logits.shape[0]) {
      throw new RangeError(
        `crossEntropy: logits ${showShape(logits.shape)} and labels ${showShape(labels.shape)} (expected [N, K] and [N])`,
      )
    }
    sharedDevice('crossEntropy', [logits, labels])
    const [n, classes] = logits.shape
    logits.device.backend.check(
      run(IS_CLASS, [labels], [classes], 'bool'),
      callSite('crossEntropy', crossEntropy),
      `labels holds a class outside 0 … ${classes - 1}`,
    )
    const isLabel = equal(reshape(labels, [n, 1]), logits.device.arange(classes))
    return mul(sum(where(isLabel, logSoftmax(logits), 0)), -1 / n)
  })
}
