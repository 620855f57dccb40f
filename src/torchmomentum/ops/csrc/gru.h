// The gated recurrent unit.
#pragma once

#include "cell.h"

namespace {

struct Gru {
  static constexpr int GATES = 3, VECTORS = 1;

  float *gates;        // in: pre-activations; out: r, z, n
  float *out, *inner;  // all h; the recurrent part of n, which r multiplies
  const float *h0;
  Packed weights;    // or none
  const float *bias; // of that part, (H), or null
  Operand operand;
  Zone zone;
  Norms norms;

  void add(const Problem &p, Standard standard, int64_t t, int64_t row) const {
    const int64_t hidden = p.hidden, at = t * p.batch + row;
    float *product = norms.normal + at * GATES * hidden;
    norms.add(gates + at * GATES * hidden, product, standard, 0, 2 * hidden);
    float *own = inner + at * hidden;
    if (bias)
      std::memcpy(own, bias, sizeof(float) * hidden);
    else
      std::memset(own, 0, sizeof(float) * hidden);
    norms.add(own, product, standard, 2 * hidden, hidden);
  }

  void finish(const Problem &, int64_t, int64_t) const {}

  template <int M, int> void tile(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, left = hidden - unit, area = p.batch * hidden;
    const int64_t first = row * hidden;
    const float *h = (t ? out + (t - 1) * area : h0) + first;
    const float *multiplied = operand.read(p, t, out, h0) + first;
    float *gate = gates + (t * area + first) * GATES + unit;
    float *new_h = out + t * area + first + unit, *new_inner = inner + t * area + first + unit;
    const Vector start = bias ? load(bias + unit, left) : Vector{};
    Vector acc[M][GATES];
    for (int m = 0; m < M; ++m) {
      acc[m][0] = load(gate + m * GATES * hidden, left);
      acc[m][1] = load(gate + (m * GATES + 1) * hidden, left);
      acc[m][2] = weights.data ? start : load(new_inner + m * hidden, left);
    }
    if (weights.data)
      multiply(acc, multiplied, hidden, weights.from(unit / LANES * GATES));
    for (int m = 0; m < M; ++m) {
      const int64_t at = m * hidden;
      const Vector before = load(h + at + unit, left);
      if (!p.alive(t, row + m)) {
        store(new_h + at, before, left);
        continue;
      }
      float *kept = gate + at * GATES;
      Vector r = sigmoid(acc[m][0]), z = sigmoid(acc[m][1]);
      Vector n = hyperbolic_tangent(load(kept + 2 * hidden, left) + r * acc[m][2]);
      Vector y = n + z * (before - n);
      if (zone.on())
        y = zone.mix(p, t, row + m, unit, y, before);
      store(new_h + at, y, left);
      operand.make_next(p, t, row + m, unit, y, before);
      store(new_inner + at, acc[m][2], left);
      store(kept, r, left);
      store(kept + hidden, z, left);
      store(kept + 2 * hidden, n, left);
    }
  }
};

struct GruGradient {
  static constexpr int GATES = 3;

  const float *gates, *out, *inner, *h0;
  Packed weights;
  float *local;     // gradients of the pre-activations
  float *recurrent; // gradients of what weight_hh made
  Pulled pulled;    // its dh: in, of the last state; out, of the first
  Zone zone;
  Norms norms;

  void finish(const Problem &, int64_t, int64_t, int64_t) const {}

  void pointwise(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, left = hidden - unit, area = p.batch * hidden;
    const int64_t at = row * hidden + unit, wide = (t * area + row * hidden) * GATES + unit;
    Vector h = pulled.at(p, t, row, unit), past = {};
    if (!p.alive(t, row)) {
      store(pulled.dh + at, h, left);
      for (int g = 0; g < GATES; ++g) {
        store(local + wide + g * hidden, Vector{}, left);
        store(recurrent + wide + g * hidden, Vector{}, left);
      }
      return;
    }
    Vector r = load(gates + wide, left), z = load(gates + wide + hidden, left);
    Vector n = load(gates + wide + 2 * hidden, left);
    Vector before = load((t ? out + (t - 1) * area : h0) + at, left);
    if (zone.on()) {
      past = zone.at(p, t, row, unit) * h;
      h -= past;
    }
    Vector dn = h * (1.0f - z) * (1.0f - n * n);
    Vector dz = h * (before - n) * z * (1.0f - z);
    Vector dr = dn * load(inner + t * area + at, left) * r * (1.0f - r);
    store(local + wide, dr, left);
    store(local + wide + hidden, dz, left);
    store(local + wide + 2 * hidden, dn, left);
    store(recurrent + wide, dr, left);
    store(recurrent + wide + hidden, dz, left);
    store(recurrent + wide + 2 * hidden, dn * r, left);
    store(pulled.dh + at, past + h * z, left);
  }
};

} // namespace

extern "C" {

void gru_forward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                 int64_t threads, float *gates, float *out, float *inner, const float *h0,
                 const float *weights, int64_t bfloat16, const float *bias, float *operands,
                 const float *mu, const uint8_t *kept, double scale, const uint8_t *zone,
                 double rate, float *const *table) {
  run_forward(Problem{time, batch, hidden, lengths, threads},
              Gru{gates, out, inner, h0, Packed{weights, hidden, bfloat16 != 0}, bias,
                  Operand{operands, mu, kept, (float)scale}, Zone{zone, (float)rate},
                  Norms::from(table)});
}

void gru_backward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                  int64_t threads, const float *gates, const float *out, const float *inner,
                  const float *h0, const float *grad_out, const float *weights, int64_t bfloat16,
                  float *local, float *recurrent, float *dh, float *operands, const float *mu,
                  const uint8_t *kept, double scale, const uint8_t *zone, double rate,
                  float *const *table) {
  run_backward(Problem{time, batch, hidden, lengths, threads},
               GruGradient{gates, out, inner, h0, Packed{weights, 3 * hidden, bfloat16 != 0}, local,
                           recurrent,
                           Pulled{dh, grad_out, Operand{operands, mu, kept, (float)scale}},
                           Zone{zone, (float)rate}, Norms::from(table)});
}

}
