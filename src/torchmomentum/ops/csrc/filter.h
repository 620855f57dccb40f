// Filters along time, one channel beside the other.
#pragma once

#include "parallel.h"

// v_t = decay_t v_{t-1} + gain x_t for all channels. A decay's stride is 0 for a number, 1 for one
// for each step, the number of channels for one for each channel and step, and -1 for one for each
// channel.
static inline void linear_filter(int64_t time, int64_t channels, const float *x, float *out,
                                 const float *decay, int64_t decay_stride, const float *initial,
                                 float gain, bool reverse, int64_t threads) {
  const int64_t vectors = (channels + LANES - 1) / LANES;
  const bool each = decay_stride < 0 || (channels > 1 && decay_stride == channels);
  share_out(vectors, worth(threads, time * channels, 1 << 14), [=](Share share, int64_t) {
    for (int64_t step = 0; step < time; ++step) {
      const int64_t t = reverse ? time - 1 - step : step;
      const float *before = step ? out + (reverse ? t + 1 : t - 1) * channels : initial;
      const float *decays = decay_stride < 0 ? decay : decay + t * decay_stride;
      const Vector shared = splat(decays[0]);
      for (int64_t v = share.first; v < share.last; ++v) {
        const int64_t at = v * LANES, left = channels - at;
        const Vector drive = load(x + t * channels + at, left);
        const Vector kept = each ? load(decays + at, left) : shared;
        store(out + t * channels + at, kept * load(before + at, left) + gain * drive, left);
      }
    }
  });
}
