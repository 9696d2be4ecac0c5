export { countSketch, hashIntegers, hashNormal, hashUniform, hashWeight } from './hash-values'
export { largestError, relativeDistance } from './compare'
