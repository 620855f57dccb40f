// One step in one call, of a stream or of a layer: the drive, the rule, the recurrent product and
// the cell.
#pragma once

#include "adam.h"
#include "filter.h"
#include "gru.h"
#include "lstm.h"
#include "rnn.h"

namespace {

enum Stepped : int64_t { STEP_LSTM, STEP_GRU, STEP_TANH, STEP_RELU };

static inline int64_t gates_of(int64_t cell) {
  return cell == STEP_LSTM ? 4 : cell == STEP_GRU ? 3 : 1;
}

// y (rows, width) = x (rows, depth) @ weight.T + bias, of a weight (width, depth) as it lies.
struct Affine {
  const float *x, *weight, *bias; // a bias of zeros may be null
  int64_t rows, depth, width;

  static constexpr int64_t FEW = 8; // rows below which the weights are not worth packing
  bool packs() const { return weight && rows >= FEW; }
  int64_t work() const { return weight ? rows * depth * width : 0; }

  // One number of each of N neighbouring rows of the weight: they share what they read of x.
  template <int N> void dots(int64_t row, int64_t first, float *y) const {
    const float *a = x + row * depth, *b = weight + first * depth;
    Vector sums[N] = {};
    int64_t k = 0;
    for (; depth - k >= LANES; k += LANES) {
      const Vector shared = load(a + k, LANES);
      for (int n = 0; n < N; ++n)
        sums[n] += shared * load(b + n * depth + k, LANES);
    }
    for (int n = 0; n < N; ++n) {
      float sum = k ? total(sums[n]) : 0.0f;
      for (int64_t rest = k; rest < depth; ++rest)
        sum += a[rest] * b[n * depth + rest];
      y[row * width + first + n] = bias ? sum + bias[first + n] : sum;
    }
  }

  // Some of the columns of y, for few rows: the weights of four are read once for all rows.
  void some(Share columns, float *y) const {
    int64_t n = columns.first;
    for (; columns.last - n >= 4; n += 4)
      for (int64_t row = 0; row < rows; ++row)
        dots<4>(row, n, y);
    for (; n < columns.last; ++n)
      for (int64_t row = 0; row < rows; ++row)
        dots<1>(row, n, y);
  }

  // All of y, in one thread where there are few rows.
  void values(float *y, int64_t threads) const {
    if (packs())
      all(y, threads);
    else
      some(Share{0, width}, y);
  }

  // All of y, for many rows.
  void all(float *y, int64_t threads) const {
    if (!bias)
      std::memset(y, 0, sizeof(float) * rows * width);
    product(Matrix{x, depth, 1}, Matrix{weight, 1, depth}, y, rows, width, depth, bias, false,
            threads);
  }
};

// A constant momentum that [x; 1] goes through before [weight, bias] reads it; off without a
// velocity, (batch, inputs + 1).
struct Momentum {
  const float *velocity;
  float mu, gain, bound;
};

// What the input of some steps contributes to the gates.
struct Drive {
  Scratch joined; // [weight, bias], where there is a momentum
  Affine affine;

  Drive(const Momentum &before, int64_t time, int64_t batch, int64_t inputs, int64_t width,
        const float *x, const float *weight, const float *bias, float *filtered, int64_t threads)
      : joined(before.velocity ? width * (inputs + 1) : 1),
        affine{x, weight, bias, time * batch, inputs, width} {
    if (!before.velocity)
      return;
    values_beside_one(time, batch, inputs, x, before.velocity, filtered, before.mu, before.gain,
                      before.bound, threads);
    float *to = joined.data;
    for (int64_t n = 0; n < width; ++n, to += inputs + 1) {
      std::memcpy(to, weight + n * inputs, sizeof(float) * inputs);
      to[inputs] = bias[n];
    }
    affine = Affine{filtered, joined.data, nullptr, time * batch, inputs + 1, width};
  }
};

// What a rule makes of a drive: v' = mu v + gain d and, with roots, v' / (r' + eps).
struct StepRule {
  Adam numbers;
  const float *v, *r; // (rows, width); without roots r is null, without a rule v too
  float *new_v, *new_r;

  Vector apply(Vector drive, int64_t at, int64_t left) const {
    if (!v)
      return drive;
    Vector velocity = load(v + at, left), root = r ? load(r + at, left) : Vector{};
    if (r)
      numbers.step(drive, velocity, root);
    else
      velocity = numbers.mu * velocity + numbers.gain * numbers.bounded(drive);
    store(new_v + at, velocity, left);
    if (!r)
      return velocity;
    store(new_r + at, root, left);
    return numbers.quotient(velocity, root);
  }
};

// The pre-activations of a step into `pre`, and a GRU's recurrent part of n into `inner`.
static inline void step_gates(const Affine &drive, const Affine &recurrent, const StepRule &rule,
                              float *pre, float *inner, int64_t threads) {
  const int64_t rows = drive.rows, width = drive.width;
  const int64_t added = inner ? width / 3 * 2 : width; // whose recurrent part is added
  const Scratch scratch(rows * width);
  float *through = scratch.data;
  if (drive.packs())
    drive.all(pre, threads);
  if (recurrent.packs())
    recurrent.all(through, threads);
  threads = worth(threads, drive.work() + recurrent.work(), 1 << 17);
  share_out((width + LANES - 1) / LANES, threads, [&](Share vectors, int64_t) {
    const int64_t end = vectors.last * LANES;
    const Share columns{vectors.first * LANES, end < width ? end : width};
    if (drive.weight && !drive.packs())
      drive.some(columns, pre);
    if (!recurrent.packs())
      recurrent.some(columns, through);
    const float *drives = drive.weight ? pre : drive.x;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t begin = row * width, last = columns.last;
      for (int64_t n = columns.first; n < last; n += LANES) {
        const int64_t at = begin + n, left = last - n;
        Vector y = rule.apply(load(drives + at, left), at, left);
        if (n + LANES <= added)
          y += load(through + at, left);
        store(pre + at, y, left);
      }
      // what of the recurrent part is not added by whole vectors
      const int64_t rest = added / LANES * LANES;
      for (int64_t n = rest > columns.first ? rest : columns.first; n < last; ++n)
        if (n < added)
          pre[begin + n] += through[begin + n];
        else
          inner[row * (width - added) + n - added] = through[begin + n];
    }
  });
}

// A plain cell's steps from their pre-activations on. `kept` is of an LSTM's cells or a GRU's inner
// products. Without weights the products are in what it reads already, with a GRU's bias of n, which
// is else given.
static inline void run_plain(const Problem &p, int64_t cell, float *gates, const float *h,
                             const float *c, const Packed &weights, const float *bias_n, float *out,
                             float *kept) {
  const Norms none = Norms::from(nullptr);
  if (cell == STEP_LSTM)
    run_forward(p, Lstm{gates, out, kept, h, c, weights, {}, {}, {}, none});
  else if (cell == STEP_GRU)
    run_forward(p, Gru{gates, out, kept, h, weights, bias_n, {}, {}, none});
  else
    run_forward(p, Rnn{gates, out, h, weights, cell == STEP_RELU ? RELU : TANH, nullptr, nullptr,
                       {}, {}, none});
}

} // namespace

extern "C" {

// x is (batch, inputs), or without weight_ih what a rule made of the drives, (batch, width). With a
// velocity of the input, (batch, inputs + 1), [x; 1] goes through a constant momentum first and
// [weight_ih, bias_ih] reads what that makes, which is written to `filtered`.
void cell_step(int64_t cell, int64_t batch, int64_t inputs, int64_t hidden, int64_t threads,
               const float *x, const float *weight_ih, const float *bias_ih,
               const float *weight_hh, const float *bias_hh, const float *h, const float *c,
               const float *v, const float *r, float *out, float *cells, float *new_v, float *new_r,
               const float *velocity, float *filtered, double input_mu, double input_gain,
               double input_bound, double mu, double gain, double beta, double eps) {
  const int64_t width = gates_of(cell) * hidden;
  const Scratch pre(batch * width), inner(cell == STEP_GRU ? batch * hidden : 1);
  const Momentum before{velocity, (float)input_mu, (float)input_gain, (float)input_bound};
  const Drive drive(before, 1, batch, inputs, width, x, weight_ih, bias_ih, filtered, threads);
  step_gates(drive.affine, Affine{h, weight_hh, bias_hh, batch, hidden, width},
             StepRule{Adam::of(mu, gain, beta, eps), v, r, new_v, new_r}, pre.data,
             cell == STEP_GRU ? inner.data : nullptr, threads);
  run_plain(Problem{1, batch, hidden, nullptr, 1}, cell, pre.data, h, c, Packed{}, nullptr, out,
            cell == STEP_GRU ? inner.data : cells);
}
}
