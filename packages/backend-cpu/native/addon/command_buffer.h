// The memory through which JavaScript hands over commands.
#pragma once

#include <mutex>
#include <vector>

namespace ditkit {

// Buffers are recycled, never given back to the system: JavaScript can transfer an ArrayBuffer elsewhere and keep it
// longer than the device, and must then find memory there, be it another device's (which checks every number).
class CommandBuffers {
 public:
  static constexpr size_t kNumbers = 65536;

  static double* take() {
    std::lock_guard<std::mutex> lock(state().mutex);
    if (state().free.empty()) return new double[kNumbers]();
    double* const buffer = state().free.back();
    state().free.pop_back();
    return buffer;
  }
  static void give_back(double* buffer) {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().free.push_back(buffer);
  }

 private:
  struct State {
    std::mutex mutex;
    std::vector<double*> free;
  };
  static State& state() {
    static State* const state = new State();  // never destroyed: threads may outlive static destructors
    return *state;
  }
};

}  // namespace ditkit
