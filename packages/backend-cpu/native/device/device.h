// One CPU device: its memory, its queue and its compiled programs. Used from the JavaScript thread that made it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../elementwise/program.h"
#include "../runtime/allocator.h"
#include "../runtime/queue.h"
#include "../runtime/staging.h"
#include "../runtime/storage_table.h"
#include "../view.h"
#include "packed_weights.h"

namespace ditkit {

class Device {
 public:
  Device(int threads, Isa isa, size_t memory_limit) : queue_(threads, isa), isa_(isa), allocator_(memory_limit), packed_weights_(allocator_) {}
  ~Device() { dispose(); }

  // Memory for `bytes`. When there is none, waits for the queue and gives cache and packed weights back first. Throws
  // std::runtime_error naming the bytes.
  Block allocate(size_t bytes);
  void release(Block block, size_t bytes) { allocator_.release(block, bytes); }

  double alloc(size_t bytes);
  void free(double handle);
  // Host bytes into a storage, in the order of the queue; copied before this returns.
  void write(double handle, size_t offset, const void* data, size_t bytes);
  // The memory of [offset, offset + bytes) of a storage, to read or write; throws when it does not lie inside.
  char* span(double handle, double offset, double bytes, const char* what);
  // Gives back what can be made again: cached memory and packed weights.
  void trim();
  // Drops queued work and frees everything.
  void dispose();
  bool disposed() const { return disposed_; }

  int add_program(const std::vector<double>& numbers);
  // Null for a number that names none. Programs stay until the device is disposed, and no command runs afterwards.
  const ElementwiseProgram* program(int64_t id) const;

  StorageTable& storages() { return storages_; }
  PackedWeights& packed_weights() { return packed_weights_; }
  CommandQueue& queue() { return queue_; }
  // Memory beside the tensors': the commands' scratch and packed weights.
  size_t workspace_bytes() const { return queue_.workspace_bytes() + packed_weights_.bytes(); }
  const Allocator& allocator() const { return allocator_; }
  Isa isa() const { return isa_; }

 private:
  StagingPool staging_;  // outlives the queue, whose commands give their copies back
  CommandQueue queue_;
  Isa isa_;
  Allocator allocator_;
  PackedWeights packed_weights_;
  StorageTable storages_;
  std::vector<std::unique_ptr<const ElementwiseProgram>> programs_;
  bool disposed_ = false;
};

}  // namespace ditkit
