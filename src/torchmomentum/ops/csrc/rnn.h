// The Elman network with tanh, ReLU or modReLU.
#pragma once

#include "cell.h"

namespace {

enum Activation : int64_t { TANH, RELU, MODRELU };

struct Rnn {
  static constexpr int GATES = 1, VECTORS = 4;

  float *pre;
  float *out;
  const float *h0;
  Packed weights; // or none
  int64_t activation;
  const float *bias; // modReLU's, (H)
  float *made;       // (T, B, H), what the activation made before zoneout; or null
  Operand operand;
  Zone zone;
  Norms norms;

  void add(const Problem &p, Standard standard, int64_t t, int64_t row) const {
    const int64_t at = (t * p.batch + row) * p.hidden;
    norms.add(pre + at, norms.normal + at, standard, 0, p.hidden);
  }

  void finish(const Problem &, int64_t, int64_t) const {}

  Vector activate(Vector x, int64_t unit, int64_t left) const {
    if (activation == RELU)
      return at_least(x, 0.0f);
    if (activation == TANH)
      return hyperbolic_tangent(x);
    const Vector size = at_least(absolute(x) + load(bias + unit, left), 0.0f);
    return x == Vector{} ? x : x < Vector{} ? -size : size;
  }

  template <int M, int N> void tile(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, area = p.batch * hidden, first = row * hidden;
    const float *h = (t ? out + (t - 1) * area : h0) + first;
    const float *multiplied = operand.read(p, t, out, h0) + first;
    const float *drive = pre + t * area + first;
    Vector acc[M][N];
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n) {
        const int64_t at = unit + n * LANES;
        acc[m][n] = load(drive + m * hidden + at, hidden - at);
      }
    if (weights.data)
      multiply(acc, multiplied, hidden, weights.from(unit / LANES));
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n) {
        const int64_t at = unit + n * LANES, left = hidden - at, place = first + m * hidden + at;
        const Vector before = load(h + m * hidden + at, left);
        Vector y = before;
        if (p.alive(t, row + m)) {
          y = activate(acc[m][n], at, left);
          if (made)
            store(made + t * area + place, y, left);
          if (zone.on())
            y = zone.mix(p, t, row + m, at, y, before);
        }
        store(out + t * area + place, y, left);
        operand.make_next(p, t, row + m, at, y, before);
      }
  }
};

struct RnnGradient {
  static constexpr int GATES = 1;

  const float *made; // what the activation made
  Packed weights;
  float *recurrent; // gradients of the pre-activations
  int64_t activation;
  Pulled pulled; // its dh: in, of the last state; out, of the first
  Zone zone;
  Norms norms;

  void finish(const Problem &, int64_t, int64_t, int64_t) const {}

  void pointwise(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, left = hidden - unit;
    const int64_t at = row * hidden + unit, here = t * p.batch * hidden + at;
    Vector h = pulled.at(p, t, row, unit), past = {};
    if (!p.alive(t, row)) {
      store(pulled.dh + at, h, left);
      store(recurrent + here, Vector{}, left);
      return;
    }
    if (zone.on()) {
      past = zone.at(p, t, row, unit) * h;
      h -= past;
    }
    const Vector y = load(made + here, left);
    Vector local = h * (1.0f - y * y);
    if (activation != TANH)
      local = y == Vector{} ? Vector{} : h;
    store(recurrent + here, local, left);
    store(pulled.dh + at, past, left);
  }
};

} // namespace

extern "C" {

void rnn_forward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                 int64_t threads, float *pre, float *out, const float *h0,
                 const float *weights, int64_t bfloat16, int64_t activation, const float *bias,
                 float *made, float *operands, const float *mu, const uint8_t *kept, double scale,
                 const uint8_t *zone, double rate, float *const *table) {
  run_forward(Problem{time, batch, hidden, lengths, threads},
              Rnn{pre, out, h0, Packed{weights, hidden, bfloat16 != 0}, activation, bias, made,
                  Operand{operands, mu, kept, (float)scale}, Zone{zone, (float)rate},
                  Norms::from(table)});
}

void rnn_backward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                  int64_t threads, const float *made, const float *grad_out, const float *weights,
                  int64_t bfloat16, float *local, int64_t activation, float *dh, float *operands,
                  const float *mu, const uint8_t *kept, double scale, const uint8_t *zone,
                  double rate, float *const *table) {
  run_backward(Problem{time, batch, hidden, lengths, threads},
               RnnGradient{made, Packed{weights, hidden, bfloat16 != 0}, local, activation,
                           Pulled{dh, grad_out, Operand{operands, mu, kept, (float)scale}},
                           Zone{zone, (float)rate}, Norms::from(table)});
}

}
