// Up to which rank factors are worth having. What follows was measured on the CPU device; dev/NOTES.md has the figures.

/**
 * Time: a rank adds its share to every score's product, forward and backward. With 8 heads of 32 a factored bias up to rank 32 takes no longer than a
 * dense one that all heads share, and up to 64 is at most 30 % slower, and as fast as a dense one per head. Beyond, it is clearly slower.
 */
const HIGHEST = 64

/** Memory: factors and their gradients take at most half of what the dense bias and its own take. */
const LARGEST_SHARE = 1 / 2

/** The highest rank that pays between so many queries and keys; 0 when none does. */
export function payingRank(queries: number, keys: number): number {
  return Math.min(HIGHEST, Math.floor((LARGEST_SHARE * queries * keys) / (queries + keys)))
}
