// The long short-term memory.
#pragma once

#include "cell.h"

namespace {

struct Lstm {
  static constexpr int GATES = 4, VECTORS = 1;

  float *gates;       // in: pre-activations; out: i, f, g, o
  float *out, *cells; // all h and c
  const float *h0, *c0;
  Packed weights; // or none
  Operand operand;
  Zone zone_h, zone_c;

  template <int M, int> void tile(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, left = hidden - unit, area = p.batch * hidden;
    const int64_t first = row * hidden;
    const float *h = (t ? out + (t - 1) * area : h0) + first;
    const float *multiplied = operand.plain() ? h : operand.rows + t * area + first;
    const float *c = (t ? cells + (t - 1) * area : c0) + first + unit;
    float *gate = gates + (t * area + first) * GATES + unit;
    float *new_h = out + t * area + first + unit, *new_c = cells + t * area + first + unit;
    Vector acc[M][GATES];
    for (int m = 0; m < M; ++m)
      for (int g = 0; g < GATES; ++g)
        acc[m][g] = load(gate + (m * GATES + g) * hidden, left);
    if (weights.data)
      multiply(acc, multiplied, hidden, weights.from(unit / LANES * GATES));
    for (int m = 0; m < M; ++m) {
      const int64_t at = m * hidden;
      if (!p.alive(t, row + m)) {
        store(new_c + at, load(c + at, left), left);
        store(new_h + at, load(h + at + unit, left), left);
        continue;
      }
      Vector i = sigmoid(acc[m][0]), f = sigmoid(acc[m][1]);
      Vector g = hyperbolic_tangent(acc[m][2]), o = sigmoid(acc[m][3]);
      const Vector before = load(c + at, left);
      Vector cell = f * before + i * g, y = o * hyperbolic_tangent(cell);
      if (zone_c.on())
        cell = zone_c.mix(p, t, row + m, unit, cell, before);
      if (zone_h.on())
        y = zone_h.mix(p, t, row + m, unit, y, load(h + at + unit, left));
      store(new_c + at, cell, left);
      store(new_h + at, y, left);
      if (!operand.plain())
        operand.make_next(p, t, row + m, unit, y, load(h + at + unit, left));
      float *kept = gate + at * GATES;
      store(kept, i, left);
      store(kept + hidden, f, left);
      store(kept + 2 * hidden, g, left);
      store(kept + 3 * hidden, o, left);
    }
  }
};

struct LstmGradient {
  static constexpr int GATES = 4;

  const float *gates, *cells, *c0;
  Packed weights;
  float *recurrent; // gradients of the pre-activations
  float *dc;        // in: of the last c; out: of the first
  Pulled pulled;    // its dh: in, of the last h; out, of the first
  Zone zone_h, zone_c;

  void pointwise(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, left = hidden - unit, area = p.batch * hidden;
    const int64_t at = row * hidden + unit, wide = (t * area + row * hidden) * GATES + unit;
    Vector h = pulled.at(p, t, row, unit), c = load(dc + at, left);
    if (!p.alive(t, row)) {
      store(pulled.dh + at, h, left);
      for (int g = 0; g < GATES; ++g)
        store(recurrent + wide + g * hidden, Vector{}, left);
      return;
    }
    Vector i = load(gates + wide, left), f = load(gates + wide + hidden, left);
    Vector g = load(gates + wide + 2 * hidden, left), o = load(gates + wide + 3 * hidden, left);
    Vector before = load((t ? cells + (t - 1) * area : c0) + at, left);
    Vector squashed = hyperbolic_tangent(f * before + i * g), past_h = {}, past_c = {};
    if (zone_h.on()) {
      past_h = zone_h.at(p, t, row, unit) * h;
      h -= past_h;
    }
    if (zone_c.on()) {
      past_c = zone_c.at(p, t, row, unit) * c;
      c -= past_c;
    }
    c += h * o * (1.0f - squashed * squashed);
    store(recurrent + wide, c * g * i * (1.0f - i), left);
    store(recurrent + wide + hidden, c * before * f * (1.0f - f), left);
    store(recurrent + wide + 2 * hidden, c * i * (1.0f - g * g), left);
    store(recurrent + wide + 3 * hidden, h * squashed * o * (1.0f - o), left);
    store(dc + at, past_c + c * f, left);
    store(pulled.dh + at, past_h, left);
  }
};

} // namespace

extern "C" {

void lstm_forward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                  int64_t threads, float *gates, float *out, float *cells, const float *h0,
                  const float *c0, const float *weights, int64_t bfloat16, float *operands,
                  const float *mu, const uint8_t *kept, double scale, const uint8_t *zone_h,
                  double rate_h, const uint8_t *zone_c, double rate_c) {
  run_forward(Problem{time, batch, hidden, lengths, threads},
              Lstm{gates, out, cells, h0, c0, Packed{weights, hidden, bfloat16 != 0},
                   Operand{operands, mu, kept, (float)scale}, Zone{zone_h, (float)rate_h},
                   Zone{zone_c, (float)rate_c}});
}

void lstm_backward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                   int64_t threads, const float *gates, const float *cells, const float *c0,
                   const float *grad_out, const float *weights, int64_t bfloat16, float *local,
                   float *dh, float *dc, float *operands, const float *mu, const uint8_t *kept,
                   double scale, const uint8_t *zone_h, double rate_h, const uint8_t *zone_c,
                   double rate_c) {
  run_backward(Problem{time, batch, hidden, lengths, threads},
               LstmGradient{gates, cells, c0, Packed{weights, 4 * hidden, bfloat16 != 0}, local, dc,
                            Pulled{dh, grad_out, Operand{operands, mu, kept, (float)scale}},
                            Zone{zone_h, (float)rate_h}, Zone{zone_c, (float)rate_c}});
}

}
