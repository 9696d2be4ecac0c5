#include "thread_place.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ditkit {

#if defined(__linux__)

int current_processor() { return sched_getcpu(); }

void ThreadPlace::begin() {
  std::lock_guard<std::mutex> lock(mutex_);
  thread_ = static_cast<int>(syscall(SYS_gettid));
  processor_.store(current_processor());
}

// A mask that someone else sets between this call and release is lost; the two are some microseconds apart.
void ThreadPlace::keep_off(int processor, int threads) {
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock || thread_ == 0 || processor < 0 || kept_off_.load()) return;
  if (sched_getaffinity(thread_, sizeof allowed_, &allowed_) != 0) return;
  if (!CPU_ISSET(processor, &allowed_) || CPU_COUNT(&allowed_) < threads) return;
  cpu_set_t others = allowed_;
  CPU_CLR(processor, &others);
  kept_off_.store(sched_setaffinity(thread_, sizeof others, &others) == 0);
}

void ThreadPlace::release() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!kept_off_.load()) return;
  sched_setaffinity(0, sizeof allowed_, &allowed_);
  kept_off_.store(false);
}

#else

int current_processor() { return -1; }
void ThreadPlace::begin() {}
void ThreadPlace::keep_off(int, int) {}
void ThreadPlace::release() {}

#endif

}  // namespace ditkit
