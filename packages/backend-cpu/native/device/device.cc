#include "device.h"

#include <cstring>
#include <stdexcept>

namespace ditkit {

Block Device::allocate(size_t bytes) {
  Block block;
  if (allocator_.allocate(bytes, &block)) return block;
  if (bytes <= allocator_.limit()) {
    trim();
    if (allocator_.allocate(bytes, &block)) return block;
  }
  throw std::runtime_error("out of memory: " + std::to_string(bytes) + " bytes were asked for, " +
                           std::to_string(allocator_.live_bytes()) + " are in use and the limit is " +
                           std::to_string(allocator_.limit()) +
                           " (dispose tensors, use smaller batches, or raise cpu({ memoryLimit }))");
}

double Device::alloc(size_t bytes) {
  if (storages_.full()) throw std::runtime_error("alloc: too many live storages");
  return storages_.add(allocate(bytes), bytes);
}

void Device::free(double handle) {
  Storage* storage = storages_.find(handle);
  if (storage == nullptr) throw std::runtime_error("free: not the handle of a live storage");
  packed_weights_.drop(*storage);
  allocator_.release(storage->block, storage->bytes);
  storages_.remove(storage);
}

char* Device::span(double handle, double offset, double bytes, const char* what) {
  Storage* storage = storages_.find(handle);
  if (storage == nullptr) throw std::runtime_error(std::string(what) + ": not the handle of a live storage");
  const double size = static_cast<double>(storage->bytes);
  if (!(offset >= 0 && bytes >= 0 && offset <= size && bytes <= size - offset) ||
      offset != static_cast<double>(static_cast<uint64_t>(offset)) ||
      bytes != static_cast<double>(static_cast<uint64_t>(bytes))) {
    throw std::runtime_error(std::string(what) + ": offset " + std::to_string(offset) + " and length " +
                             std::to_string(bytes) + " do not lie within a storage of " +
                             std::to_string(storage->bytes) + " bytes");
  }
  packed_weights_.drop(*storage);
  return storage->block.data + static_cast<size_t>(offset);
}

void Device::write(double handle, size_t offset, const void* data, size_t bytes) {
  char* const to = span(handle, static_cast<double>(offset), static_cast<double>(bytes), "write");
  if (bytes == 0) return;
  if (queue_.idle()) {  // nothing queued can still need the old content
    std::memcpy(to, data, bytes);
    return;
  }
  StagingPool::Copy copy = staging_.take(bytes);
  if (copy.data() == nullptr) throw std::runtime_error("write: no memory to stage " + std::to_string(bytes) + " bytes");
  std::memcpy(copy.data(), data, bytes);
  queue_.push([to, bytes, copy = std::move(copy)](Executor&) { std::memcpy(to, copy.data(), bytes); }, bytes);
}

void Device::trim() {
  queue_.drain();
  storages_.each_live([this](Storage& storage) { packed_weights_.drop(storage); });
  allocator_.trim();
  staging_.trim();
}

void Device::dispose() {
  if (disposed_) return;
  disposed_ = true;
  queue_.stop();
  storages_.each_live([this](Storage& storage) {
    packed_weights_.drop(storage);
    allocator_.release(storage.block, storage.bytes);
  });
  storages_ = StorageTable();
  allocator_.trim();
  staging_.trim();
  programs_.clear();
}

int Device::add_program(const std::vector<double>& numbers) {
  programs_.push_back(std::make_unique<const ElementwiseProgram>(ElementwiseProgram::decode(numbers)));
  return static_cast<int>(programs_.size()) - 1;
}

const ElementwiseProgram* Device::program(int64_t id) const {
  return id >= 0 && id < static_cast<int64_t>(programs_.size()) ? programs_[id].get() : nullptr;
}

}  // namespace ditkit
