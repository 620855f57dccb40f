// Filters along time, one channel beside the other.
#pragma once

#include "parallel.h"

// v_t = decay_t v_{t-1} + gain x_t for all channels, x clamped to +-bound. A decay's stride is 0 for
// a number, 1 for one for each step, the number of channels for one for each channel and step, and
// -1 for one for each channel.
struct Filter {
  int64_t time, channels;
  const float *decay;
  int64_t decay_stride;
  float gain, bound;
  bool reverse;
  int64_t threads;

  // body(t, at, left, decay) for every step in order and every vector of channels: `left` channels
  // from `at` on.
  template <class Body> void each(Body body) const {
    const Filter f = *this;
    const int64_t vectors = (channels + LANES - 1) / LANES;
    const bool several = decay_stride < 0 || (channels > 1 && decay_stride == channels);
    share_out(vectors, worth(threads, time * channels, 1 << 14), [=](Share share, int64_t) {
      for (int64_t step = 0; step < f.time; ++step) {
        const int64_t t = f.reverse ? f.time - 1 - step : step;
        const float *decays = f.decay_stride < 0 ? f.decay : f.decay + t * f.decay_stride;
        const Vector shared = splat(decays[0]);
        for (int64_t v = share.first; v < share.last; ++v) {
          const int64_t at = v * LANES, left = f.channels - at;
          body(t, at, left, several ? load(decays + at, left) : shared);
        }
      }
    });
  }

  void values(const float *x, const float *initial, float *out) const {
    const int64_t first = reverse ? time - 1 : 0, back = reverse ? channels : -channels;
    const float scale = gain, most = bound;
    const int64_t width = channels;
    each([=](int64_t t, int64_t at, int64_t left, Vector kept) {
      float *to = out + t * width + at;
      const Vector drive = at_least(at_most(load(x + t * width + at, left), most), -most);
      const Vector before = load(t == first ? initial + at : to + back, left);
      store(to, kept * before + scale * drive, left);
    });
  }

  // Of the filter that runs backwards over gradients, what they are with respect to the drives x:
  // zero where a drive is beyond the bound. Without a bound x may be null. The filter's value goes
  // on in `carry`, (channels).
  void gradients(const float *grad, const float *x, float *carry, float *grad_x) const {
    const float scale = gain, most = bound;
    const int64_t width = channels;
    each([=](int64_t t, int64_t at, int64_t left, Vector kept) {
      const int64_t place = t * width + at;
      const Vector value = kept * load(carry + at, left) + load(grad + place, left);
      store(carry + at, value, left);
      Vector found = scale * value;
      if (x) {
        const Vector size = absolute(load(x + place, left));
        found = size <= splat(most) ? found : Vector{};
      }
      store(grad_x + place, found, left);
    });
  }
};

// v_t = decay v_{t-1} + gain [x_t; 1], x clamped to +-bound: rows of `width` floats to rows of one more.
static inline void values_beside_one(int64_t time, int64_t rows, int64_t width, const float *x,
                                     const float *initial, float *out, float decay, float gain,
                                     float bound, int64_t threads) {
  const int64_t wide = width + 1;
  share_out(rows, worth(threads, time * rows * wide, 1 << 14), [=](Share share, int64_t) {
    const Vector kept = splat(decay), scale = splat(gain), one = splat(1.0f);
    const float *old = initial;
    for (int64_t t = 0; t < time; ++t) {
      float *const values = out + t * rows * wide;
      for (int64_t row = share.first; row < share.last; ++row) {
        const float *drives = x + (t * rows + row) * width, *before = old + row * wide;
        float *to = values + row * wide;
        for (int64_t at = 0; at < width; at += LANES) {
          const Vector drive = at_least(at_most(load(drives + at, width - at), bound), -bound);
          store(to + at, kept * load(before + at, width - at) + scale * drive, width - at);
        }
        store(to + width, kept * load(before + width, 1) + scale * one, 1);
      }
      old = values;
    }
  });
}

// A sequence of rows of complex numbers, real parts before imaginary ones, and what filters them:
// v_t = decay v_{t-1} + gain x_t, the decay complex, one of each channel.
struct ComplexFilter {
  int64_t time, batch, size;
  const float *decay, *gain; // (2, size), (size)
  bool reverse;

  int64_t at(int64_t step) const { return reverse ? time - 1 - step : step; }
  // Row `row` of the value before step `step`, of all values and the initial ones.
  const float *before(int64_t step, int64_t row, const float *values, const float *initial) const {
    const float *all = step ? values + at(step - 1) * batch * 2 * size : initial;
    return all + row * 2 * size;
  }
};

// Drives have `width` floats in a row, of which the first 2 size are used.
static inline void complex_values(const ComplexFilter &f, const float *x, int64_t width, float *out,
                                  const float *initial, int64_t threads) {
  const int64_t size = f.size, vectors = (size + LANES - 1) / LANES;
  const int64_t count = worth(threads, 2 * f.time * f.batch * size, 1 << 14);
  share_out(vectors, count, [=](Share share, int64_t) {
    for (int64_t step = 0; step < f.time; ++step)
      for (int64_t row = 0; row < f.batch; ++row) {
        const int64_t place = f.at(step) * f.batch + row;
        const float *drive = x + place * width, *old = f.before(step, row, out, initial);
        float *to = out + place * 2 * size;
        for (int64_t v = share.first; v < share.last; ++v) {
          const int64_t re = v * LANES, im = size + re, left = size - re;
          const Vector a = load(f.decay + re, left), b = load(f.decay + im, left);
          const Vector p = load(old + re, left), q = load(old + im, left);
          const Vector gain = load(f.gain + re, left);
          store(to + re, a * p - b * q + gain * load(drive + re, left), left);
          store(to + im, a * q + b * p + gain * load(drive + im, left), left);
        }
      }
  });
}

// The gradients of drives, initial values, decay (2, size) and gain (size), the last two summed.
static inline void complex_gradients(const ComplexFilter &f, const float *x, int64_t width,
                                     const float *out, const float *initial, const float *grad,
                                     float *grad_x, float *grad_initial, float *sums,
                                     int64_t threads) {
  const int64_t size = f.size, vectors = (size + LANES - 1) / LANES;
  const int64_t count = worth(threads, 4 * f.time * f.batch * size, 1 << 14);
  share_out(vectors, count, [=](Share share, int64_t) {
    for (int64_t step = f.time - 1; step >= 0; --step)
      for (int64_t v = share.first; v < share.last; ++v) {
        const int64_t re = v * LANES, im = size + re, left = size - re;
        const Vector a = load(f.decay + re, left), b = load(f.decay + im, left);
        const Vector gain = load(f.gain + re, left);
        Vector of_a = {}, of_b = {}, of_gain = {};
        for (int64_t row = 0; row < f.batch; ++row) {
          const int64_t place = f.at(step) * f.batch + row;
          const float *drive = x + place * width, *old = f.before(step, row, out, initial);
          float *carry = grad_initial + row * 2 * size; // what the next step's value hands back
          const Vector p = load(grad + place * 2 * size + re, left) + load(carry + re, left);
          const Vector q = load(grad + place * 2 * size + im, left) + load(carry + im, left);
          const Vector old_re = load(old + re, left), old_im = load(old + im, left);
          of_a += p * old_re + q * old_im;
          of_b += q * old_re - p * old_im;
          of_gain += p * load(drive + re, left) + q * load(drive + im, left);
          store(grad_x + place * 2 * size + re, gain * p, left);
          store(grad_x + place * 2 * size + im, gain * q, left);
          store(carry + re, a * p + b * q, left);
          store(carry + im, a * q - b * p, left);
        }
        store(sums + re, load(sums + re, left) + of_a, left);
        store(sums + im, load(sums + im, left) + of_b, left);
        store(sums + size + im, load(sums + size + im, left) + of_gain, left);
      }
  });
}
