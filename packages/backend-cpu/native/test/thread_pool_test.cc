// Checks that the pool runs every chunk once, in order within a thread's range, and leaves no thread bound to processors.
// Also built with -fsanitize=thread.
#include "../thread_pool.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "../thread_place.h"

using namespace ditkit;

namespace {

int failures = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  ++failures;
  std::printf("failed: %s\n", what);
}

void every_chunk_runs_once() {
  for (int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (int64_t round = 0; round < 400; ++round) {
      const int64_t n = round % 41;
      std::vector<std::atomic<int>> ran(n);
      std::atomic<bool> named{true};
      pool.run(n, [&](int64_t index, int thread) {
        ++ran[index];
        if (thread < 0 || thread >= threads) named = false;
      });
      bool once = true;
      for (const auto& times : ran) once = once && times == 1;
      expect(once, "each chunk runs once");
      expect(named, "threads have the pool's numbers");
    }
  }
}

void workers_that_slept_are_back() {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int64_t> sum{0};
    pool.run(100, [&](int64_t index, int) { sum += index; });
    expect(sum == 4950, "all chunks have run when the call returns");
  }
}

void a_thread_goes_through_its_range_in_order() {
  ThreadPool pool(2);
  std::vector<int64_t> seen[2];
  for (int round = 0; round < 50; ++round) {
    for (auto& indices : seen) indices.clear();
    pool.run(64, [&](int64_t index, int thread) { seen[thread].push_back(index); });
    for (int thread : {0, 1}) {
      const int64_t begin = 32 * thread;
      int64_t last = -1;
      for (int64_t index : seen[thread]) {
        if (index < begin || index >= begin + 32) continue;
        expect(index > last, "a range is taken in order");
        last = index;
      }
    }
  }
}

#if defined(__linux__)
void a_thread_kept_off_a_processor_gets_it_back() {
  cpu_set_t before;
  expect(sched_getaffinity(0, sizeof before, &before) == 0, "the processors of a thread can be read");
  if (CPU_COUNT(&before) < 2) return std::printf("skipped: needs two processors\n"), void();
  ThreadPlace place;
  std::atomic<int> stage{0};
  cpu_set_t inside, after;
  std::thread worker([&] {
    place.begin();
    place.refresh();
    stage = 1;
    while (stage < 2) std::this_thread::yield();
    sched_getaffinity(0, sizeof inside, &inside);
    place.refresh();
    sched_getaffinity(0, sizeof after, &after);
  });
  while (stage < 1) std::this_thread::yield();
  const int taken = place.processor();
  place.keep_off(taken, 2);
  place.keep_off(taken, 2);
  stage = 2;
  worker.join();
  expect(CPU_COUNT(&inside) == CPU_COUNT(&before) - 1 && !CPU_ISSET(taken, &inside), "it is kept off one processor");
  expect(CPU_EQUAL(&after, &before), "and has all of them back when it goes on");
  ThreadPlace crowded;
  std::thread([&] {
    crowded.begin();
    crowded.keep_off(current_processor(), CPU_COUNT(&before) + 1);
    sched_getaffinity(0, sizeof inside, &inside);
  }).join();
  expect(CPU_EQUAL(&inside, &before), "with more threads than processors nobody is moved");
}
#endif

}  // namespace

int main() {
  every_chunk_runs_once();
  workers_that_slept_are_back();
  a_thread_goes_through_its_range_in_order();
#if defined(__linux__)
  a_thread_kept_off_a_processor_gets_it_back();
#endif
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
