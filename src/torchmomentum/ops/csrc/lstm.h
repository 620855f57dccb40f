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
  Norms norms;

  void add(const Problem &p, Standard standard, int64_t t, int64_t row) const {
    const int64_t width = GATES * p.hidden, at = (t * p.batch + row) * width;
    norms.add(gates + at, norms.normal + at, standard, 0, width);
  }

  template <int M, int> void tile(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, left = hidden - unit, area = p.batch * hidden;
    const int64_t first = row * hidden;
    const float *h = (t ? out + (t - 1) * area : h0) + first;
    const float *multiplied = operand.read(p, t, out, h0) + first;
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
      Vector cell = f * before + i * g;
      if (norms.on_cell())
        store(norms.cell_normal + t * area + first + at + unit, cell, left);
      else
        show(p, t, row + m, unit, o * hyperbolic_tangent(cell));
      if (zone_c.on())
        cell = zone_c.mix(p, t, row + m, unit, cell, before);
      store(new_c + at, cell, left);
      float *kept = gate + at * GATES;
      store(kept, i, left);
      store(kept + hidden, f, left);
      store(kept + 2 * hidden, g, left);
      store(kept + 3 * hidden, o, left);
    }
  }

  // Makes a new h known: to zoneout, and to the next step's product.
  void show(const Problem &p, int64_t t, int64_t row, int64_t unit, Vector y) const {
    const int64_t left = p.hidden - unit, area = p.batch * p.hidden, at = row * p.hidden + unit;
    const float *h = (t ? out + (t - 1) * area : h0) + at;
    if (zone_h.on())
      y = zone_h.mix(p, t, row, unit, y, load(h, left));
    store(out + t * area + at, y, left);
    if (!operand.plain())
      operand.make_next(p, t, row, unit, y, load(h, left));
  }

  // Of a row whose cells are normalized, the new h.
  void finish(const Problem &p, int64_t t, int64_t row) const {
    if (!p.alive(t, row))
      return;
    const int64_t hidden = p.hidden, at = t * p.batch + row;
    float *normal = norms.cell_normal + at * hidden;
    const float *o = gates + (at * GATES + 3) * hidden;
    const Standard standard = Standard::of(normal, hidden);
    norms.cell_inverse[at] = standard.inverse;
    for (int64_t unit = 0; unit < hidden; unit += LANES) {
      const int64_t left = hidden - unit;
      store(normal + unit, standard.apply(load(normal + unit, left)), left);
      const Vector squashed = hyperbolic_tangent(norms.shown(normal, unit, left));
      show(p, t, row, unit, load(o + unit, left) * squashed);
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
  Norms norms;

  // Of a row whose cells are normalized, their gradient by way of h.
  void finish(const Problem &p, int64_t t, int64_t row, int64_t thread) const {
    if (!p.alive(t, row))
      return;
    const int64_t hidden = p.hidden, at = t * p.batch + row;
    const float *normal = norms.cell_normal + at * hidden;
    const float *o = gates + (at * GATES + 3) * hidden;
    float *through = norms.cell_through + row * hidden;
    float *sums = norms.cell_sums + thread * 2 * hidden;
    for (int64_t unit = 0; unit < hidden; unit += LANES) {
      const int64_t left = hidden - unit;
      const Vector squashed = hyperbolic_tangent(norms.shown(normal, unit, left));
      Vector h = pulled.at(p, t, row, unit);
      if (zone_h.on())
        h -= zone_h.at(p, t, row, unit) * h;
      const Vector shown = h * load(o + unit, left) * (1.0f - squashed * squashed);
      store(through + unit, shown, left);
      store(sums + hidden + unit, load(sums + hidden + unit, left) + shown, left);
    }
    standardize_gradient(through, through, norms.cell_gain, normal, norms.cell_inverse[at], hidden,
                         sums);
  }

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
    Vector past_h = {}, past_c = {}, squashed, through;
    if (zone_h.on()) {
      past_h = zone_h.at(p, t, row, unit) * h;
      h -= past_h;
    }
    if (zone_c.on()) {
      past_c = zone_c.at(p, t, row, unit) * c;
      c -= past_c;
    }
    if (norms.on_cell()) {
      const float *normal = norms.cell_normal + (t * p.batch + row) * hidden;
      squashed = hyperbolic_tangent(norms.shown(normal, unit, left));
      through = load(norms.cell_through + at, left);
    } else {
      squashed = hyperbolic_tangent(f * before + i * g);
      through = h * o * (1.0f - squashed * squashed);
    }
    c += through;
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
                  double rate_h, const uint8_t *zone_c, double rate_c, float *const *table) {
  run_forward(Problem{time, batch, hidden, lengths, threads},
              Lstm{gates, out, cells, h0, c0, Packed{weights, hidden, bfloat16 != 0},
                   Operand{operands, mu, kept, (float)scale}, Zone{zone_h, (float)rate_h},
                   Zone{zone_c, (float)rate_c}, Norms::from(table)});
}

void lstm_backward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                   int64_t threads, const float *gates, const float *cells, const float *c0,
                   const float *grad_out, const float *weights, int64_t bfloat16, float *local,
                   float *dh, float *dc, float *operands, const float *mu, const uint8_t *kept,
                   double scale, const uint8_t *zone_h, double rate_h, const uint8_t *zone_c,
                   double rate_c, float *const *table) {
  run_backward(Problem{time, batch, hidden, lengths, threads},
               LstmGradient{gates, cells, c0, Packed{weights, 4 * hidden, bfloat16 != 0}, local, dc,
                            Pulled{dh, grad_out, Operand{operands, mu, kept, (float)scale}},
                            Zone{zone_h, (float)rate_h}, Zone{zone_c, (float)rate_c},
                            Norms::from(table)});
}

}
