// How the work on a sequence is shared out among threads.
#pragma once

#include "vector.h"

#include <cstdlib>

// The threads of PyTorch: the entry points of its OpenMP library, handed over at load. Without them
// all is done in one thread. No compiler's OpenMP is asked for, and so no second library is loaded.
struct OpenMP {
  void (*parallel)(void (*)(void *), void *, unsigned, unsigned);
  void (*barrier)();
  int (*threads)();
  int (*thread)();
};

static OpenMP openmp = {};

static void nobody() {}

// Calls work(thread, threads, meet) in at most as many threads; meet() waits for the others.
template <class Work> static inline void in_parallel(int64_t threads, const Work &work) {
  if (threads <= 1 || !openmp.parallel)
    return work(0, 1, nobody);
  openmp.parallel(
      [](void *given) {
        const Work &work = *static_cast<const Work *>(given);
        work(openmp.thread(), openmp.threads(), openmp.barrier);
      },
      const_cast<Work *>(&work), (unsigned)threads, 0);
}

// Memory of floats while it lives. Not by new: the kernels need no C++ library.
struct Scratch {
  float *data;

  explicit Scratch(int64_t count)
      : data(static_cast<float *>(std::malloc(sizeof(float) * count))) {
    if (!data)
      std::abort();
  }
  Scratch(const Scratch &) = delete;
  ~Scratch() { std::free(data); }
};

struct Problem {
  int64_t time, batch, hidden;
  const int64_t *lengths; // how many of these steps each row is alive, or null for all
  int64_t threads;

  bool alive(int64_t t, int64_t row) const { return !lengths || t < lengths[row]; }
};

struct Share {
  int64_t first, last;
};

static inline Share share(int64_t count, int64_t parts, int64_t part) {
  return {count * part / parts, count * (part + 1) / parts};
}

// As many threads as have each at least this much to do: to wake one costs some microseconds.
static inline int64_t worth(int64_t threads, int64_t work, int64_t least) {
  const int64_t useful = work / least + 1;
  return threads < useful ? threads : useful;
}

// Calls work(share, part) in every thread with its share of `count`.
template <class Work>
static inline void share_out(int64_t count, int64_t threads, const Work &work) {
  if (count == 0)
    return;
  in_parallel(threads < count ? threads : count, [&](int thread, int threads, void (*)()) {
    work(share(count, threads, thread), (int64_t)thread);
  });
}

// A thread's part of a recurrence: rows of the batch and vectors of units; besides, rows of which it
// does all there is to do for whole rows. meet() waits for the others where they work on the same.
struct Part {
  Share rows, vectors, whole;
  int64_t thread;
  void (*meet)();
};

// Calls work(part) in every thread.
template <class Work> static inline void share_out(const Problem &p, const Work &work) {
  const int64_t vectors = (p.hidden + LANES - 1) / LANES;
  const int64_t step = 4 * p.batch * p.hidden * p.hidden; // multiplications
  int64_t threads = worth(p.threads, step * p.time, 1 << 20);
  // a thread should have rows enough to use each weight for several of them
  const bool by_rows = p.batch >= 8 * threads;
  if (!by_rows)
    threads = worth(threads, step, 1 << 18);
  const int64_t count = by_rows ? p.batch : vectors;
  in_parallel(threads < count ? threads : count, [&](int thread, int threads, void (*meet)()) {
    const Share own = share(count, threads, thread);
    if (by_rows)
      work(Part{own, Share{0, vectors}, own, thread, nobody});
    else
      work(Part{Share{0, p.batch}, own, share(p.batch, threads, thread), thread, meet});
  });
}
