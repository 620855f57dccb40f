// How the work on a sequence is shared out among threads.
#pragma once

#include "vector.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

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
#if defined(_OPENMP)
#pragma omp parallel num_threads((int)(threads < count ? threads : count))
  work(share(count, omp_get_num_threads(), omp_get_thread_num()), (int64_t)omp_get_thread_num());
#else
  (void)threads;
  work(Share{0, count}, (int64_t)0);
#endif
}

// Calls work(rows, vectors of units, meet) in every thread; meet() waits for the others where they
// work on the same rows.
template <class Work> static inline void share_out(const Problem &p, const Work &work) {
  const int64_t vectors = (p.hidden + LANES - 1) / LANES;
#if defined(_OPENMP)
  const int64_t step = 4 * p.batch * p.hidden * p.hidden; // multiplications
  int64_t threads = worth(p.threads, step * p.time, 1 << 20);
  // a thread should have rows enough to use each weight for several of them
  const bool by_rows = p.batch >= 8 * threads;
  if (!by_rows)
    threads = worth(threads, step, 1 << 18);
  const int64_t count = by_rows ? p.batch : vectors;
#pragma omp parallel num_threads((int)(threads < count ? threads : count))
  {
    const Share own = share(count, omp_get_num_threads(), omp_get_thread_num());
    if (by_rows)
      work(own, Share{0, vectors}, [] {});
    else
      work(Share{0, p.batch}, own, [] {
#pragma omp barrier
      });
  }
#else
  work(Share{0, p.batch}, Share{0, vectors}, [] {});
#endif
}
