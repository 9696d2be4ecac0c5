// Philox4x32-10 fills; the formulas are those of packages/core/src/random/philox.ts.

namespace {

constexpr int kBlocks = 32;  // counters at a time

// words[w][i] = word w of block first + i.
void philox_blocks(uint64_t first, uint32_t key0, uint32_t key1, uint32_t words[4][kBlocks]) {
  uint32_t* const x0 = words[0];
  uint32_t* const x1 = words[1];
  uint32_t* const x2 = words[2];
  uint32_t* const x3 = words[3];
  for (int i = 0; i < kBlocks; ++i) {
    x0[i] = static_cast<uint32_t>(first + i);
    x1[i] = static_cast<uint32_t>((first + i) >> 32);
    x2[i] = 0;
    x3[i] = 0;
  }
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kBlocks; ++i) {
      const uint64_t product0 = static_cast<uint64_t>(0xd2511f53u) * x0[i];
      const uint64_t product1 = static_cast<uint64_t>(0xcd9e8d57u) * x2[i];
      const uint32_t y0 = static_cast<uint32_t>(product1 >> 32) ^ x1[i] ^ key0;
      const uint32_t y2 = static_cast<uint32_t>(product0 >> 32) ^ x3[i] ^ key1;
      x1[i] = static_cast<uint32_t>(product1);
      x3[i] = static_cast<uint32_t>(product0);
      x0[i] = y0;
      x2[i] = y2;
    }
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

// Box-Muller on two arrays of words; the angle is reduced to an eighth of a turn exactly, in integers.
void normals(const uint32_t* first, const uint32_t* second, float* even, float* odd) {
  float radius[kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    radius[i] = static_cast<float>(static_cast<int32_t>((first[i] >> 8) + 1)) * 5.9604644775390625e-8f;
  }
  map1(radius, radius, kBlocks, [](vf u) { return -2.0f * log_v(u); });
  for (int i = 0; i < kBlocks; ++i) radius[i] = __builtin_sqrtf(radius[i] > 0.0f ? radius[i] : 0.0f);
  for (int i = 0; i < kBlocks; ++i) {
    const int32_t turn = static_cast<int32_t>(second[i] >> 8);
    const int32_t quadrant = (turn + (1 << 21)) >> 22;
    const float r = static_cast<float>(turn - (quadrant << 22)) * 3.7450704e-7f;  // 2 pi / 2^24
    const float z = r * r;
    const float sine = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
    const float cosine =
        ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
    const float c = (quadrant & 1) ? sine : cosine;
    const float s = (quadrant & 1) ? cosine : sine;
    even[i] = radius[i] * (((quadrant + 1) & 2) ? -c : c);
    odd[i] = radius[i] * ((quadrant & 2) ? -s : s);
  }
}

}  // namespace

void random_fill(RandomKind kind, void* out, int64_t first, int64_t n, uint32_t key0, uint32_t key1) {
  uint32_t words[4][kBlocks];
  float values[4][kBlocks];
  uint32_t* d = static_cast<uint32_t*>(out);
  for (int64_t done = 0; done < n; done += 4 * kBlocks) {
    philox_blocks(static_cast<uint64_t>((first + done) / 4), key0, key1, words);
    if (kind == RandomKind::Uniform) {
      for (int w = 0; w < 4; ++w) {
        for (int i = 0; i < kBlocks; ++i) {
          values[w][i] = static_cast<float>(static_cast<int32_t>(words[w][i] >> 8)) * 5.9604644775390625e-8f;
        }
      }
    } else if (kind == RandomKind::Normal) {
      normals(words[0], words[1], values[0], values[1]);
      normals(words[2], words[3], values[2], values[3]);
    }
    if (kind != RandomKind::Bits) __builtin_memcpy(words, values, sizeof words);
    uint32_t ordered[4 * kBlocks];
    for (int i = 0; i < kBlocks; ++i) {
      for (int w = 0; w < 4; ++w) ordered[4 * i + w] = words[w][i];
    }
    const int64_t m = n - done < 4 * kBlocks ? n - done : 4 * kBlocks;
    __builtin_memcpy(d + done, ordered, m * 4);
  }
}
