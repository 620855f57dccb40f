// How the recurrent weights of a cell are packed.
#pragma once

#include "product.h"

extern "C" {

// How many floats pack_* write for a weight_hh (gates * hidden, hidden).
int64_t packed_size(int64_t gates, int64_t hidden) {
  return gates * hidden * ((hidden + LANES - 1) / LANES) * LANES;
}

// For the forward product: the gates of one vector of units stand side by side.
void pack_forward(float *packed, const float *weight, int64_t gates, int64_t hidden,
                  int64_t bfloat16, int64_t threads) {
  const int64_t size = Packed::rows(hidden, bfloat16) * LANES;
  threads = worth(threads, gates * hidden * hidden, 1 << 16);
  share_out((hidden + LANES - 1) / LANES, threads, [=](Share vectors, int64_t) {
    for (int64_t v = vectors.first; v < vectors.last; ++v)
      for (int64_t g = 0; g < gates; ++g) {
        const int64_t unit = v * LANES, left = hidden - unit;
        pack(packed + (v * gates + g) * size, weight + (g * hidden + unit) * hidden, hidden,
             left < LANES ? left : LANES, 1, hidden, bfloat16);
      }
  });
}

// For the product of the gates' gradients with the weights.
void pack_backward(float *packed, const float *weight, int64_t gates, int64_t hidden,
                   int64_t bfloat16, int64_t threads) {
  const int64_t depth = gates * hidden, rows = Packed::rows(depth, bfloat16);
  threads = worth(threads, depth * hidden, 1 << 16);
  share_out((hidden + LANES - 1) / LANES, threads, [=](Share vectors, int64_t) {
    const int64_t first = vectors.first * LANES, last = vectors.last * LANES;
    pack(packed + first * rows, weight + first, depth, (last < hidden ? last : hidden) - first,
         hidden, 1, bfloat16);
  });
}
}
