#include "decoder.h"

#include <stdexcept>

#include "../ops/copy.h"

namespace ditkit {

namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 48;

}  // namespace

Decoder::~Decoder() {
  // The queue runs in order, so memory may be handed out again before the work that uses it has run.
  for (const Temporary& temporary : temporaries_) device_.release(temporary.block, temporary.bytes);
}

void Decoder::fail(const std::string& message) const { throw std::runtime_error(std::string(op_) + ": " + message); }

void Decoder::fail_integer(double value, int64_t low, int64_t high, const char* what) const {
  fail(std::string(what) + " is " + std::to_string(value) + " (expected an integer from " + std::to_string(low) +
       " to " + std::to_string(high) + ")");
}

DType Decoder::dtype() { return static_cast<DType>(integer(0, 2, "dtype")); }

View Decoder::view_of(Storage** found, const char* what) {
  View view;
  Storage* const storage = *found = device_.storages().find(number());
  if (storage == nullptr) fail(std::string(what) + " is not on this device, or its memory was freed");
  const int64_t bytes = static_cast<int64_t>(storage->bytes);
  const int64_t offset = integer(0, kMaxExtent, "byte offset");
  view.dtype = dtype();
  view.rank = static_cast<int>(integer(0, kMaxRank, "rank"));
  for (int d = 0; d < view.rank; ++d) {
    view.shape[d] = integer(0, kMaxExtent, "size");
    if (view.shape[d] > 0 && view.count > kMaxExtent / view.shape[d]) fail(std::string(what) + " is too large");
    view.count *= view.shape[d];
  }
  // In elements from the first; 128 bits hold rank × size × stride whatever they are.
  __int128 low = 0, high = 0;
  for (int d = 0; d < view.rank; ++d) {
    view.stride[d] = integer(-kMaxExtent, kMaxExtent, "stride");
    const __int128 reach = static_cast<__int128>(view.stride[d]) * (view.shape[d] - 1);
    (reach < 0 ? low : high) += reach;
  }
  const int64_t size = size_of(view.dtype);
  if (offset % size != 0) fail(std::string(what) + ": byte offset is not a multiple of the element size");
  if (view.count == 0) {
    view.data = storage->block.data;
    return view;
  }
  if (offset + low * size < 0 || offset + (high + 1) * size > bytes) {
    fail(std::string(what) + " reaches outside its storage of " + std::to_string(bytes) + " bytes");
  }
  view.data = storage->block.data + offset;
  return view;
}

View Decoder::view(const char* what) {
  Storage* storage;
  const View view = view_of(&storage, what);
  device_.packed_weights().drop(*storage);
  return view;
}

View Decoder::matrix(const char* what, DType expected, Storage** storage) {
  const View view = view_of(storage, what);
  check_dtype(view, what, expected);
  return view;
}

void Decoder::check_dtype(const View& view, const char* what, DType expected) const {
  if (view.dtype == expected) return;
  const char* const names[] = {"f32", "i32", "bool"};
  fail(std::string(what) + " is " + names[static_cast<int>(view.dtype)] + " (expected " +
       names[static_cast<int>(expected)] + ")");
}

void Decoder::check_places(const View& view, const char* what) const {
  for (int d = 0; d < view.rank; ++d) {
    if (view.count > 0 && view.shape[d] > 1 && view.stride[d] == 0) fail(std::string(what) + " is written to and must not be broadcast");
  }
}

View Decoder::view(const char* what, DType expected) {
  const View result = view(what);
  check_dtype(result, what, expected);
  return result;
}

View Decoder::result(const char* what) {
  const View result = view(what);
  check_places(result, what);
  return result;
}

View Decoder::result(const char* what, DType expected) {
  const View result = view(what, expected);
  check_places(result, what);
  return result;
}

View Decoder::optional_view(const char* what, DType expected) { return flag() ? view(what, expected) : View(); }
View Decoder::optional_result(const char* what, DType expected) { return flag() ? result(what, expected) : View(); }

char* Decoder::span(int64_t elements, const char* what) {
  const double handle = number();
  const int64_t offset = integer(0, kMaxExtent, "byte offset");
  if (offset % 4 != 0) fail(std::string(what) + ": byte offset is not a multiple of 4");
  return device_.span(handle, static_cast<double>(offset), static_cast<double>(elements) * 4, what);
}

View Decoder::temporary(DType dtype, int rank, const int64_t* shape) {
  View view;
  view.dtype = dtype;
  view.rank = rank;
  for (int d = rank - 1; d >= 0; --d) {
    view.shape[d] = shape[d];
    view.stride[d] = view.count;
    view.count *= shape[d];
  }
  const size_t bytes = static_cast<size_t>(view.count * size_of(dtype));
  const Block block = device_.allocate(bytes);
  temporaries_.push_back({block, bytes});
  view.data = block.data;
  return view;
}

View Decoder::contiguous(const View& view) {
  if (view.contiguous()) return view;
  const View copy = temporary(view.dtype, view.rank, view.shape);
  queue().push([view, copy](Executor& executor) { run_copy(view, copy, executor); });
  return copy;
}

bool same_shape(const View& a, const View& b) {
  if (a.rank != b.rank) return false;
  for (int d = 0; d < a.rank; ++d) {
    if (a.shape[d] != b.shape[d]) return false;
  }
  return true;
}

bool broadcasts_to(const View& view, int rank, const int64_t* shape) {
  if (view.rank > rank) return false;
  for (int d = 0; d < view.rank; ++d) {
    if (view.shape[d] != 1 && view.shape[d] != shape[rank - view.rank + d]) return false;
  }
  return true;
}

}  // namespace ditkit
