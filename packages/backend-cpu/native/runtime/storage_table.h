// Names pieces of tensor memory by number, so that JavaScript can hold nothing but numbers: a handle carries a slot and
// the slot's generation, and one that was freed, or made up, is found out.
#pragma once

#include <cstdint>
#include <vector>

#include "../gemm/gemm.h"
#include "allocator.h"

namespace ditkit {

// A matrix that was the right operand of a product since the storage was last written, and its packed form if it has
// one: see PackedWeights.
struct PackedForm {
  const float* of;
  int64_t k, n, row, col;
  Compute compute;
  Block block;
};

struct Storage {
  Block block;
  size_t bytes = 0;  // as asked for; the block may be larger
  uint32_t generation = 0;
  bool live = false;
  std::vector<PackedForm> packed;
};

class StorageTable {
 public:
  double add(Block block, size_t bytes) {
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(storages_.size());
      storages_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Storage& storage = storages_[slot];
    storage.block = block;
    storage.bytes = bytes;
    storage.live = true;
    storage.generation = (storage.generation + 1) & kGenerations;
    return static_cast<double>(storage.generation) * kSlots + slot;
  }

  // Null for anything that is not the handle of a live storage.
  Storage* find(double handle) {
    if (!(handle >= 0 && handle < kSlots * (kGenerations + 1.0))) return nullptr;
    const uint64_t bits = static_cast<uint64_t>(handle);
    const uint64_t slot = bits % static_cast<uint64_t>(kSlots);
    if (static_cast<double>(bits) != handle || slot >= storages_.size()) return nullptr;
    Storage& storage = storages_[slot];
    return storage.live && storage.generation == bits / static_cast<uint64_t>(kSlots) ? &storage : nullptr;
  }

  void remove(Storage* storage) {
    storage->live = false;
    storage->block = Block();
    free_.push_back(static_cast<uint32_t>(storage - storages_.data()));
  }

  bool full() const { return free_.empty() && storages_.size() >= static_cast<size_t>(kSlots); }

  template <class F>
  void each_live(F&& f) {
    for (Storage& storage : storages_) {
      if (storage.live) f(storage);
    }
  }

 private:
  static constexpr double kSlots = 16777216.0;           // 2^24
  static constexpr uint32_t kGenerations = (1u << 28) - 1;  // slot and generation fill 52 bits, exact in a double
  std::vector<Storage> storages_;
  std::vector<uint32_t> free_;
};

}  // namespace ditkit
