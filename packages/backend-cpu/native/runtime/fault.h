// What goes wrong while queued work runs, kept until a read or sync reports it. Only the executor thread touches it.
#pragma once

#include <string>

namespace ditkit {

enum class FaultKind { None = 0, Index = 1, Check = 2, Device = 3, Disposed = 4 };

struct Fault {
  FaultKind kind = FaultKind::None;
  double site = 0;       // names the call on the JavaScript side
  double index = 0;      // Index: the value that was out of range,
  double position = 0;   // where it stood,
  double bound = 0;      // and what it had to be below
  std::string message;   // Device: what happened
};

class Faults {
 public:
  // A fault of the data: only the first one until the next read or sync is kept.
  void report(const Fault& fault) {
    if (data_.kind == FaultKind::None) data_ = fault;
  }
  // A fault of the device stays: its results cannot be trusted any more.
  void fail(std::string message) {
    if (device_.kind != FaultKind::None) return;
    device_.kind = FaultKind::Device;
    device_.message = std::move(message);
  }
  // The fault to report now, if any.
  Fault take() {
    if (device_.kind != FaultKind::None) return device_;
    Fault fault = data_;
    data_ = Fault();
    return fault;
  }

 private:
  Fault data_;
  Fault device_;
};

}  // namespace ditkit
