// Checks the command queue, the allocator and the storage table without Node. Also built with -fsanitize=thread.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "../kernels.h"
#include "../pause.h"
#include "../runtime/allocator.h"
#include "../runtime/queue.h"
#include "../runtime/storage_table.h"

using namespace ditkit;

namespace {

int failures = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  ++failures;
  std::printf("failed: %s\n", what);
}

void commands_run_once_and_in_order() {
  CommandQueue queue(2, Isa::Baseline);
  int64_t next = 0, out_of_order = 0;  // of the executor thread until the queue is drained
  constexpr int64_t kCount = 300000;   // several times what the ring holds
  for (int64_t i = 0; i < kCount; ++i) {
    queue.push([i, &next, &out_of_order](Executor&) { out_of_order += next++ != i; });
    if (i % 50000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // lets the executor fall asleep
  }
  queue.drain();
  expect(queue.idle(), "a drained queue is idle");
  expect(next == kCount && out_of_order == 0, "all commands run once, in order");
}

// Pushes as the executor falls asleep: the wait goes up while it is found awake and down when it slept, so it stays at the edge.
void a_command_pushed_as_the_executor_falls_asleep_runs(int count) {
  using Clock = std::chrono::steady_clock;
  CommandQueue queue(1, Isa::Baseline);
  std::atomic<int> ran{0};
  Clock::duration wait{0};
  for (int i = 0; i < count; ++i) {
    for (const auto until = Clock::now() + wait; Clock::now() < until;) pause_briefly();
    const auto start = Clock::now();
    queue.push([&ran](Executor&) { ++ran; });
    while (ran != i + 1) {
      if (Clock::now() - start < std::chrono::seconds(20)) continue;
      expect(false, "a command runs without another to wake the executor");
      return;
    }
    const bool slept = Clock::now() - start > std::chrono::microseconds(15);
    if (slept && wait > std::chrono::nanoseconds(200)) wait -= std::chrono::nanoseconds(100);
    if (!slept) wait += std::chrono::nanoseconds(100);
  }
}

// A command of its own size, filled with its number: one that lay over another would change it.
template <size_t kSize>
struct Sized {
  Sized(int number, std::atomic<int>* alive, std::atomic<int>* intact) : number(number), alive(alive), intact(intact) {
    std::fill(bytes, bytes + kSize, static_cast<unsigned char>(number));
    ++*alive;
  }
  Sized(const Sized& other) : Sized(other.number, other.alive, other.intact) {}
  ~Sized() { --*alive; }
  void operator()(Executor&) {
    *intact += std::all_of(bytes, bytes + kSize, [this](unsigned char b) { return b == number % 256; });
  }
  int number;
  std::atomic<int>*alive, *intact;
  unsigned char bytes[kSize];
};

void commands_of_all_sizes_keep_their_memory() {
  std::atomic<int> alive{0}, intact{0};
  constexpr int kRounds = 5000;  // many times what the memory of the queue holds
  {
    CommandQueue queue(1, Isa::Baseline);
    for (int i = 0; i < kRounds; ++i) {
      queue.push(Sized<1>(i, &alive, &intact));
      queue.push(Sized<900>(i, &alive, &intact));
      if (i % 100 == 0) queue.push(Sized<200000>(i, &alive, &intact));
      if (i % 500 == 0) queue.push(Sized<600000>(i, &alive, &intact));  // more than there is
      if (i % 1000 == 0) queue.drain();
    }
    queue.drain();
    expect(alive == 0, "a command that has run is gone");
    expect(intact == 2 * kRounds + kRounds / 100 + kRounds / 500, "no command lies over another");
    queue.push([](Executor&) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
    for (int i = 0; i < 2000; ++i) queue.push(Sized<900>(i, &alive, &intact));
  }
  expect(alive == 0, "commands that never ran are gone too");
}

void held_bytes_are_bounded() {
  CommandQueue queue(1, Isa::Baseline);
  constexpr size_t kBytes = size_t{200} << 20;
  std::atomic<int> held{0}, most{0};
  struct Held {
    explicit Held(std::atomic<int>* count) : count(count) {}
    Held(Held&& other) noexcept : count(other.count) { other.count = nullptr; }
    ~Held() {
      if (count) --*count;
    }
    std::atomic<int>* count;
  };
  for (int i = 0; i < 20; ++i) {
    if (++held > most) most = held.load();
    queue.push([h = Held(&held)](Executor&) { std::this_thread::sleep_for(std::chrono::microseconds(300)); }, kBytes);
  }
  queue.drain();
  expect(held == 0, "what a command holds ends with it");
  expect(most <= 4, "commands that hold 200 MiB each wait for one another");
}

void stopping_drops_what_is_queued() {
  for (int round = 0; round < 50; ++round) {
    auto alive = std::make_shared<int>(0);
    std::atomic<int> ran{0};
    {
      CommandQueue queue(3, Isa::Baseline);
      for (int i = 0; i < 100; ++i) {
        queue.push([alive, &ran](Executor& executor) {
          executor.pool.run(4, [&](int64_t, int) { ++ran; });
        });
      }
    }
    expect(alive.use_count() == 1, "commands that never ran are deleted");
    expect(ran % 4 == 0, "a command that began has finished");
  }
}

void an_exception_becomes_a_device_fault() {
  CommandQueue queue(1, Isa::Baseline);
  FaultKind first = FaultKind::None, second = FaultKind::None;
  queue.push([](Executor&) { throw std::runtime_error("broken"); });
  queue.push([&](Executor& executor) { first = executor.faults.take().kind; });
  queue.push([&](Executor& executor) { second = executor.faults.take().kind; });
  queue.drain();
  expect(first == FaultKind::Device && second == FaultKind::Device, "a device fault stays");
}

void size_classes_waste_little() {
  for (size_t bytes = 1; bytes < (size_t{1} << 33); bytes += bytes / 7 + 1) {
    const size_t size = Allocator::class_size(bytes);
    expect(size >= bytes && size % 64 == 0, "a class holds what was asked for");
    expect(bytes <= 512 ? size - bytes < 64 : size - bytes <= bytes / 4, "a class is at most a quarter larger");
    expect(Allocator::class_size(size) == size, "a class is its own class");
  }
}

void blocks_are_reused_within_the_limit() {
  Allocator allocator(1 << 20);
  Block a, b;
  expect(allocator.allocate(700000, &a) && !allocator.allocate(700000, &b), "the limit holds");
  expect(reinterpret_cast<uintptr_t>(a.data) % 64 == 0, "blocks are aligned");
  allocator.release(a, 700000);
  expect(allocator.allocate(700001, &b) && b.data == a.data, "a freed block of the class comes back");
  allocator.release(b, 700001);
  allocator.trim();
  expect(allocator.cached_bytes() == 0 && allocator.live_bytes() == 0, "trim leaves nothing");
}

void handles_of_freed_storages_are_found_out() {
  StorageTable table;
  std::vector<double> old;
  for (int i = 0; i < 1000; ++i) {
    const double handle = table.add(Block(), 1);
    expect(table.find(handle) != nullptr, "a live handle is found");
    table.remove(table.find(handle));
    old.push_back(handle);
  }
  const double live = table.add(Block(), 1);
  for (double handle : old) expect(table.find(handle) == nullptr, "a freed handle is not");
  for (double handle : {-1.0, live + 0.5, live + 1, 1e300, 9007199254740992.0, 0.0 / 0.0}) {
    expect(table.find(handle) == nullptr, "nor is a made up one");
  }
}

}  // namespace

int main() {
  commands_run_once_and_in_order();
  a_command_pushed_as_the_executor_falls_asleep_runs(20000);
  commands_of_all_sizes_keep_their_memory();
  held_bytes_are_bounded();
  stopping_drops_what_is_queued();
  an_exception_becomes_a_device_fault();
  size_classes_waste_little();
  blocks_are_reused_within_the_limit();
  handles_of_freed_storages_are_found_out();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
