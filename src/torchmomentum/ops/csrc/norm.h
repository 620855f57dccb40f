// Layer normalization within a step (Ba et al., 2016): of what weight_hh makes, over all gates of a
// row, and of an LSTM's cell where h is made of it.
#pragma once

#include "product.h"

constexpr float NORM_EPSILON = 1e-5f; // torch's

static inline float total(Vector v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float sum = 0.0f;
  for (int lane = 0; lane < LANES; ++lane)
    sum += v[lane];
  return sum;
#endif
}

// The sum of f(i, how many numbers are left) over vectors of numbers, in four sums that do not wait
// for each other.
template <class F> static inline float sum_over(int64_t count, const F &f) {
  constexpr int64_t SUMS = 4;
  Vector sums[SUMS] = {};
  int64_t i = 0;
  for (; count - i >= SUMS * LANES; i += SUMS * LANES)
    for (int n = 0; n < SUMS; ++n)
      sums[n] += f(i + n * LANES, LANES);
  for (; i < count; i += LANES)
    sums[0] += f(i, count - i);
  return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// What a row is standardized by: less its mean, and times one over its deviation.
struct Standard {
  float mean, inverse;

  static Standard of(const float *x, int64_t count) {
    const float mean =
        sum_over(count, [=](int64_t i, int64_t left) { return load(x + i, left); }) / count;
    const auto square = [=](int64_t i, int64_t left) {
      Vector centred = load(x + i, left) - mean;
      if (left < LANES) // nothing of the zeros behind the last number
        centred = load(reinterpret_cast<const float *>(&centred), left);
      return centred * centred;
    };
    return {mean, 1.0f / __builtin_sqrtf(sum_over(count, square) / count + NORM_EPSILON)};
  }

  Vector apply(Vector x) const { return (x - mean) * inverse; }
};

// The gradient of x from that of gain times the standardized x, whose product with that is added to
// `sums`: the gradient of the gain. `to` may be `grad`.
static inline void standardize_gradient(float *to, const float *grad, const float *gain,
                                        const float *normal, float inverse, int64_t count,
                                        float *sums) {
  const float mean = sum_over(count, [=](int64_t i, int64_t left) {
                       const Vector given = load(grad + i, left), x = load(normal + i, left);
                       store(sums + i, load(sums + i, left) + given * x, left);
                       return given * load(gain + i, left);
                     }) / count;
  const float slope = sum_over(count, [=](int64_t i, int64_t left) {
                        return load(grad + i, left) * load(gain + i, left) * load(normal + i, left);
                      }) / count;
  for (int64_t i = 0; i < count; i += LANES) {
    const int64_t left = count - i;
    const Vector scaled = load(grad + i, left) * load(gain + i, left);
    store(to + i, inverse * (scaled - mean - slope * load(normal + i, left)), left);
  }
}

// Arrays by their places in a table, all null without one.
struct Norms {
  const float *gain; // (G H), or null where nothing is normalized
  float *normal;     // (T, B, G H), the product, then what is standardized of it
  float *inverse;    // (T, B), one over the deviations
  float *made;       // of a backward: (T, B, G H), the gradients of the product
  float *sums;       // of a backward: (threads, G H), the gradients of the gain
  const float *cell_gain; // (H), or null where the cell is not normalized
  const float *cell_bias; // (H), or null
  float *cell_normal;     // (T, B, H), the cell, then what is standardized of it
  float *cell_inverse;    // (T, B)
  float *cell_through;    // of a backward: (B, H), the cell's gradient by way of h
  float *cell_sums;       // of a backward: (threads, 2, H), the gradients of gain and bias

  static Norms from(float *const *table) {
    if (!table)
      return {};
    return {table[0], table[1], table[2], table[3], table[4],  table[5],
            table[6], table[7], table[8], table[9], table[10]};
  }

  bool on() const { return gain; }
  bool on_cell() const { return cell_gain; }

  // Standardizes the product's columns from `first` on, and adds what comes of them to a row.
  void add(float *row, float *product, Standard standard, int64_t first, int64_t count) const {
    for (int64_t i = 0; i < count; i += LANES) {
      const int64_t left = count - i, at = first + i;
      const Vector x = standard.apply(load(product + at, left));
      store(product + at, x, left);
      store(row + i, load(row + i, left) + load(gain + at, left) * x, left);
    }
  }

  // What h is made of: the normalized cell.
  Vector shown(const float *standard, int64_t unit, int64_t left) const {
    const Vector x = load(cell_gain + unit, left) * load(standard + unit, left);
    return cell_bias ? x + load(cell_bias + unit, left) : x;
  }
};

// What weight_hh makes of M rows, for all gates of N vectors of units.
template <int GATES, int N> struct Make {
  const float *from;
  Packed weights;
  float *to;
  int64_t hidden, unit;

  template <int M> void run(int64_t row) const {
    Vector acc[M][GATES * N] = {};
    multiply(acc, from + row * hidden, hidden, weights.from(unit / LANES * GATES));
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < GATES * N; ++n) {
        const int64_t at = unit + n / GATES * LANES;
        store(to + ((row + m) * GATES + n % GATES) * hidden + at, acc[m][n], hidden - at);
      }
  }
};
