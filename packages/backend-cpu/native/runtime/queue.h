// The command queue of a device: the JavaScript thread pushes, one executor thread runs in order. Bounded: a push into
// a full queue waits, so that a program that never awaits cannot fill memory with work not yet done.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "../isa.h"
#include "../thread_pool.h"
#include "../gemm/workspace.h"
#include "fault.h"

namespace ditkit {

struct Kernels;

// What a running command may use.
struct Executor {
  ThreadPool& pool;
  Isa isa;
  const Kernels& kernels;
  Workspace& workspace;  // slots 6 and 7 belong to the ops of this folder, 3 to 5 to attention, the others to gemm
  Faults& faults;
};

class Command {
 public:
  virtual ~Command() = default;
  virtual void run(Executor& executor) = 0;
};

class CommandQueue {
 public:
  CommandQueue(int threads, Isa isa);
  ~CommandQueue();
  CommandQueue(const CommandQueue&) = delete;
  CommandQueue& operator=(const CommandQueue&) = delete;

  // Pushes f(Executor&). `bytes` is host memory that f holds until it has run.
  template <class F>
  void push(F&& f, size_t bytes = 0) {
    push_command(new Closure<std::decay_t<F>>(std::forward<F>(f)), bytes);
  }

  // True when everything pushed has run.
  bool idle() const { return executed_.load(std::memory_order_acquire) == pushed_; }
  // Waits until everything pushed has run.
  void drain();
  // Lets the running command finish, drops the others, ends the threads. Nothing may be pushed afterwards.
  void stop();

  int threads() const { return pool_.threads(); }
  // Scratch memory that commands took so far; it is kept for the next ones.
  size_t workspace_bytes() const { return workspace_.bytes(); }

 private:
  template <class F>
  class Closure : public Command {
   public:
    explicit Closure(F f) : f_(std::move(f)) {}
    void run(Executor& executor) override { f_(executor); }

   private:
    F f_;
  };

  static constexpr uint64_t kCapacity = 65536;
  static constexpr size_t kMaxBytes = size_t{512} << 20;

  struct Entry {
    Command* command;
    size_t bytes;
  };

  void push_command(Command* command, size_t bytes);
  template <class Condition>
  void wait_for_executor(Condition condition);
  void execute();

  const Isa isa_;
  ThreadPool pool_;  // made here, so that a system without threads to give is an error of the caller
  Workspace workspace_;  // of the executor thread
  std::unique_ptr<Entry[]> ring_;
  uint64_t pushed_ = 0;                       // of the pushing thread; published_ follows
  alignas(64) std::atomic<uint64_t> published_{0};
  alignas(64) std::atomic<uint64_t> executed_{0};
  std::atomic<size_t> held_bytes_{0};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> producer_waits_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable progress_;
  std::thread thread_;
};

}  // namespace ditkit
