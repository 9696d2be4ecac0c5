"""Numbers that Python and TypeScript compute alike, bit for bit, so that fixtures need not store their inputs.

The same formulas are in src/hash-values.ts: element i of the
array called `name` is the 32-bit finaliser of murmur3 on fnv1a(name) + i * 0x9E3779B9, its upper 24 bits taken as a fraction.
"""

import numpy as np

_MASK = np.uint64(0xFFFFFFFF)


def _fnv1a(name: str) -> int:
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return h


def hash_uniform(name: str, count: int) -> np.ndarray:
    """float64 in [0, 1), multiples of 2^-24."""
    i = np.arange(count, dtype=np.uint64)
    x = (np.uint64(_fnv1a(name)) + i * np.uint64(0x9E3779B9)) & _MASK
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x85EBCA6B)) & _MASK
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(0xC2B2AE35)) & _MASK
    x ^= x >> np.uint64(16)
    return (x >> np.uint64(8)).astype(np.float64) * 2.0**-24


def hash_symmetric(name: str, shape, scale: float) -> np.ndarray:
    """Uniform in +-scale, rounded to float32 values (returned as float64)."""
    u = hash_uniform(name, int(np.prod(shape)))
    return (scale * (2.0 * u - 1.0)).astype(np.float32).astype(np.float64).reshape(shape)


def hash_normal(name: str, shape) -> np.ndarray:
    """Roughly standard normal: four uniforms summed, rounded to float32 values (returned as float64)."""
    n = int(np.prod(shape))
    total = hash_uniform(name + "#0", n)
    for part in range(1, 4):
        total = total + hash_uniform(f"{name}#{part}", n)
    return ((total - 2.0) * np.sqrt(3.0)).astype(np.float32).astype(np.float64).reshape(shape)


def hash_integers(name: str, count: int, below: int) -> np.ndarray:
    """int64 in [0, below)."""
    return np.floor(hash_uniform(name, count) * below).astype(np.int64)


def weight_scale(shape) -> float:
    """How large a weight of this shape is drawn: keeps activations near 1, and nothing is zero."""
    return float(np.sqrt(3.0 / np.prod(shape[1:]))) if len(shape) > 1 else 0.2


def hash_weight(name: str, shape) -> np.ndarray:
    return hash_symmetric(name, shape, weight_scale(shape))


def count_sketch(name: str, values: np.ndarray, buckets: int) -> np.ndarray:
    """A linear sketch: each entry is added with a hashed sign to a hashed bucket. The sketch of a difference has that difference's
    norm up to a few percent (Charikar, Chen & Farach-Colton 2002), so whole tensors can be compared without being stored."""
    flat = values.reshape(-1).astype(np.float64)
    bucket = hash_integers(name + "/bucket", flat.size, buckets)
    sign = np.where(hash_uniform(name + "/sign", flat.size) < 0.5, -1.0, 1.0)
    sketch = np.zeros(buckets)
    np.add.at(sketch, bucket, sign * flat)
    return sketch
