#include "random.h"

#include <algorithm>

#include "../device/decoder.h"
#include "../kernels.h"

namespace ditkit {

void push_random(Decoder& in) {
  in.name("random");
  const RandomKind kind = static_cast<RandomKind>(in.integer(0, 2, "kind"));
  const View to = in.result("destination", kind == RandomKind::Bits ? DType::I32 : DType::F32);
  const View given = in.view("key", DType::I32);
  in.finish();
  in.require(to.contiguous(), "the destination must be contiguous");
  in.require(given.count == 2, "the key must have two words");
  const View key = in.contiguous(given);
  in.queue().push([kind, to, key](Executor& executor) {
    constexpr int64_t kPart = 16384;
    const uint32_t low = static_cast<uint32_t>(key.i32()[0]), high = static_cast<uint32_t>(key.i32()[1]);
    executor.pool.run((to.count + kPart - 1) / kPart, [&](int64_t part, int) {
      const int64_t first = part * kPart;
      executor.kernels.random(kind, to.data + first * 4, first, std::min(kPart, to.count - first), low, high);
    });
  });
}

}  // namespace ditkit
