// The command queue of a device: the JavaScript thread pushes, one executor thread runs in order. Bounded: a push into
// a full queue waits, so that a program that never awaits cannot fill memory with work not yet done.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "../isa.h"
#include "../thread_pool.h"
#include "../gemm/workspace.h"
#include "command_memory.h"
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
    push_as<Closure<std::decay_t<F>>>(bytes, std::forward<F>(f));
  }

  // Pushes a command of type C, made in place from `args`.
  template <class C, class... Args>
  void push_as(size_t bytes, Args&&... args) {
    static_assert(alignof(C) <= 64, "commands are aligned to cache lines");
    const CommandMemory::Place place = memory_.find(sizeof(C));
    if (place.data == nullptr) {
      push_command({new C(std::forward<Args>(args)...), bytes, kOnHeap});
      return;
    }
    Command* const command = new (place.data) C(std::forward<Args>(args)...);
    memory_.take(place);
    push_command({command, bytes, place.end});
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

  static constexpr uint64_t kOnHeap = 0;

  struct Entry {
    Command* command;
    size_t bytes;
    uint64_t memory_end;  // what to give back with it
  };

  void push_command(Entry entry);
  void drop(const Entry& entry);
  template <class Condition>
  void wait_for_executor(Condition condition);
  void execute();

  const Isa isa_;
  ThreadPool pool_;  // made here, so that a system without threads to give is an error of the caller
  Workspace workspace_;  // of the executor thread
  CommandMemory memory_;
  std::unique_ptr<Entry[]> ring_;
  // What one thread writes at every command lies on a line of its own; the other reads it when it must.
  alignas(64) uint64_t pushed_ = 0;  // of the pushing thread; published_ follows
  uint64_t executed_seen_ = 0;       // what it last saw of executed_
  alignas(64) std::atomic<uint64_t> published_{0};
  alignas(64) std::atomic<uint64_t> executed_{0};
  alignas(64) std::atomic<size_t> held_bytes_{0};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> producer_waits_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable progress_;
  std::thread thread_;
};

}  // namespace ditkit
