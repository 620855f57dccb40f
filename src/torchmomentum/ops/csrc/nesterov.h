// One step of Nesterov's method on many tensors, in one pass over memory.
#pragma once

#include "parallel.h"

struct Nesterov {
  float lr, momentum, previous, decay;
  bool maximize;

  // b = previous b + lr g and w -= lr g + momentum b, where g has the weights' decay; without
  // momentum there is no b.
  void run(int64_t count, float *w, const float *g, float *b) const {
    for (int64_t i = 0; i < count; i += LANES) {
      const int64_t left = count - i;
      Vector weight = load(w + i, left), slope = load(g + i, left);
      slope = (maximize ? -slope : slope) + decay * weight;
      weight -= lr * slope;
      if (b) {
        Vector held = lr * slope;
        if (previous != 0.0f) // what is not kept may be anything
          held += previous * load(b + i, left);
        store(b + i, held, left);
        weight -= momentum * held;
      }
      store(w + i, weight, left);
    }
  }
};

// Threads share out all numbers of all tensors evenly.
static inline void nesterov_step(const Nesterov &rule, int64_t tensors, const int64_t *sizes,
                                 float *const *params, const float *const *grads,
                                 float *const *buffers, int64_t threads) {
  int64_t total = 0;
  for (int64_t i = 0; i < tensors; ++i)
    total += sizes[i];
  share_out(total, worth(threads, total, 1 << 15), [&](Share share, int64_t) {
    int64_t first = 0; // of the tensor, among all numbers
    for (int64_t i = 0; i < tensors && first < share.last; first += sizes[i++]) {
      const int64_t from = share.first > first ? share.first - first : 0;
      const int64_t to = share.last - first < sizes[i] ? share.last - first : sizes[i];
      if (from < to)
        rule.run(to - from, params[i] + from, grads[i] + from,
                 buffers ? buffers[i] + from : nullptr);
    }
  });
}
