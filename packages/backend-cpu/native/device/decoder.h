// Reads the numbers of a call and checks every one: whatever JavaScript writes, a command only ever touches memory of
// live storages. The buffer is shared with JavaScript, so each number is read once.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "../view.h"
#include "device.h"

namespace ditkit {

class Decoder {
 public:
  Decoder(const double* numbers, int64_t count, Device& device)
      : numbers_(numbers), count_(count), device_(device) {}
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  void name(const char* op) { op_ = op; }
  [[noreturn]] void fail(const std::string& message) const;
  void require(bool condition, const char* message) const {
    if (!condition) fail(message);
  }

  double number() {
    if (at_ >= count_) fail("arguments end early");
    return *static_cast<const volatile double*>(numbers_ + at_++);
  }
  int64_t integer(int64_t low, int64_t high, const char* what) {
    const double value = number();
    // Within these bounds a conversion is defined; NaN is not within them.
    if (value >= static_cast<double>(low) && value <= static_cast<double>(high)) {
      const int64_t integer = static_cast<int64_t>(value);
      if (static_cast<double>(integer) == value) return integer;
    }
    fail_integer(value, low, high, what);
  }
  bool flag() { return integer(0, 1, "flag") == 1; }
  DType dtype();
  // handle, byte offset, dtype, rank, shape…, strides…
  View view(const char* what);
  // The same, and of this dtype.
  View view(const char* what, DType dtype);
  // The same of a matrix that is only read, whose packed forms stay valid. A storage that is named in any other way
  // loses them: it may be written.
  View matrix(const char* what, DType dtype, Storage** storage);
  // A view to write to: every element has its own place.
  View result(const char* what);
  View result(const char* what, DType dtype);
  // A flag, then a view if it is 1. An absent one has data null.
  View optional_view(const char* what, DType dtype);
  View optional_result(const char* what, DType dtype);
  // handle, byte offset of `bytes` bytes of 4-byte elements.
  char* span(int64_t elements, const char* what);
  // All numbers were read.
  void finish() const { require(at_ == count_, "too many arguments"); }

  // `view` itself when it is row-major without gaps, else a copy that is.
  View contiguous(const View& view);
  // A contiguous view of scratch memory that holds until everything pushed in this call has run.
  View temporary(DType dtype, int rank, const int64_t* shape);

  CommandQueue& queue() { return device_.queue(); }
  Device& device() { return device_; }

 private:
  View view_of(Storage** storage, const char* what);
  [[noreturn]] void fail_integer(double value, int64_t low, int64_t high, const char* what) const;
  void check_dtype(const View& view, const char* what, DType expected) const;
  void check_places(const View& view, const char* what) const;

  struct Temporary {
    Block block;
    size_t bytes;
  };
  const double* numbers_;
  const int64_t count_;
  int64_t at_ = 0;
  Device& device_;
  const char* op_ = "command";
  std::vector<Temporary> temporaries_;
};

bool same_shape(const View& a, const View& b);
// Whether `view` broadcasts to `shape`, aligned right.
bool broadcasts_to(const View& view, int rank, const int64_t* shape);

}  // namespace ditkit
