export { largestError, relativeDistance } from './compare'
export { countSketch, hashIntegers, hashNormal, hashUniform, hashWeight } from './hash-values'
