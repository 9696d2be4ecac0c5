// d[i] += a[i]
void add(float* d, const float* a, int64_t n) {
  map2(d, d, a, n, [](vf x, vf y) { return x + y; });
}
