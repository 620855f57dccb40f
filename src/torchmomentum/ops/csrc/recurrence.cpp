// Recurrences over pre-activations, in float32, their products in bfloat16 where that is asked for,
// behind a C interface: no headers but the compiler's.
//
// Rows of the batch are independent, so threads share out the rows and never meet; where there are
// too few rows they share out the hidden units instead, and meet once a step. The recurrent product
// of a tile of registers holds all gates of the same units, and their nonlinearities follow before
// anything is written.
//
// All arrays are contiguous: sequences (T, B, width), states (B, H). Gates stand in torch.nn's
// order. A forward without weights has its product in the pre-activations already. A backward leaves
// the gradients of the pre-activations, from which those of the weights are one large product each,
// made outside.

#include "adam.h"
#include "filter.h"
#include "nesterov.h"
#include "options.h"
#include "product.h"

namespace {

// --- what all recurrences share ------------------------------------------------------------------

// A cell's tile<M, N>() makes one step of M rows and N vectors of units.
template <class Cell, int N> struct Tile {
  const Problem &p;
  const Cell &cell;
  int64_t t, unit;
  template <int M> void run(int64_t row) const { cell.template tile<M, N>(p, t, row, unit); }
};

template <class Cell> void run_forward(const Problem &p, const Cell &cell) {
  share_out(p, [&](Share rows, Share vectors, auto meet) {
    for (int64_t t = 0; t < p.time; ++t) {
      int64_t v = vectors.first;
      for (; vectors.last - v >= Cell::VECTORS; v += Cell::VECTORS)
        for_rows(rows, Tile<Cell, Cell::VECTORS>{p, cell, t, v * LANES});
      for (; v < vectors.last; ++v)
        for_rows(rows, Tile<Cell, 1>{p, cell, t, v * LANES});
      meet();
    }
  });
}

// to[row][units] = local[row] @ weights, or more than what is there, for N vectors of units.
template <int N> struct Pull {
  const float *local;
  Packed weights;
  float *to;
  bool more;
  int64_t width, hidden, unit;

  template <int M> void run(int64_t row) const {
    Vector acc[M][N];
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n) {
        const int64_t at = unit + n * LANES;
        acc[m][n] = more ? load(to + (row + m) * hidden + at, hidden - at) : Vector{};
      }
    multiply(acc, local + row * width, width, weights.from(unit / LANES));
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n) {
        const int64_t at = unit + n * LANES;
        store(to + (row + m) * hidden + at, acc[m][n], hidden - at);
      }
  }
};

// A cell's pointwise() leaves in dh what goes past the weights; the product is added to it, or goes
// to the gradient of the operand.
template <class Cell> void run_backward(const Problem &p, const Cell &cell) {
  const int64_t width = Cell::GATES * p.hidden;
  const Pulled &pulled = cell.pulled;
  const bool more = pulled.operand.plain();
  share_out(p, [&](Share rows, Share vectors, auto meet) {
    for (int64_t t = p.time - 1; t >= 0; --t) {
      for (int64_t row = rows.first; row < rows.last; ++row)
        for (int64_t v = vectors.first; v < vectors.last; ++v)
          cell.pointwise(p, t, row, v * LANES);
      meet();
      const float *local = cell.recurrent + t * p.batch * width;
      float *to = more ? pulled.dh : pulled.operand.rows + t * p.batch * p.hidden;
      int64_t v = vectors.first;
      for (; vectors.last - v >= 4; v += 4)
        for_rows(rows, Pull<4>{local, cell.weights, to, more, width, p.hidden, v * LANES});
      if (vectors.last - v == 3)
        for_rows(rows, Pull<3>{local, cell.weights, to, more, width, p.hidden, v * LANES});
      if (vectors.last - v == 2)
        for_rows(rows, Pull<2>{local, cell.weights, to, more, width, p.hidden, v * LANES});
      if (vectors.last - v == 1)
        for_rows(rows, Pull<1>{local, cell.weights, to, more, width, p.hidden, v * LANES});
    }
  });
}

// --- LSTM ----------------------------------------------------------------------------------------

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

// --- GRU -----------------------------------------------------------------------------------------

struct Gru {
  static constexpr int GATES = 3, VECTORS = 1;

  float *gates;        // in: pre-activations; out: r, z, n
  float *out, *inner;  // all h; the recurrent part of n, which r multiplies
  const float *h0;
  Packed weights;
  const float *bias; // of that part, (H), or null
  Operand operand;
  Zone zone;

  template <int M, int> void tile(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t hidden = p.hidden, left = hidden - unit, area = p.batch * hidden;
    const int64_t first = row * hidden;
    const float *h = (t ? out + (t - 1) * area : h0) + first;
    const float *multiplied = operand.plain() ? h : operand.rows + t * area + first;
    float *gate = gates + (t * area + first) * GATES + unit;
    float *new_h = out + t * area + first + unit, *new_inner = inner + t * area + first + unit;
    const Vector start = bias ? load(bias + unit, left) : Vector{};
    Vector acc[M][GATES];
    for (int m = 0; m < M; ++m) {
      acc[m][0] = load(gate + m * GATES * hidden, left);
      acc[m][1] = load(gate + (m * GATES + 1) * hidden, left);
      acc[m][2] = start;
    }
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

// --- RNN -----------------------------------------------------------------------------------------

enum Activation : int64_t { TANH, RELU, MODRELU };

struct Rnn {
  static constexpr int GATES = 1, VECTORS = 4;

  const float *pre;
  float *out;
  const float *h0;
  Packed weights; // or none
  int64_t activation;
  const float *bias; // modReLU's, (H)
  float *made;       // (T, B, H), what the activation made before zoneout; or null
  Operand operand;
  Zone zone;

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
    const float *multiplied = operand.plain() ? h : operand.rows + t * area + first;
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

// How many floats pack_* write for a weight_hh (gates * hidden, hidden).
int64_t packed_size(int64_t gates, int64_t hidden) {
  return gates * hidden * ((hidden + LANES - 1) / LANES) * LANES;
}

// For the forward product: the gates of one vector of units stand side by side.
void pack_forward(float *packed, const float *weight, int64_t gates, int64_t hidden,
                  int64_t halves, int64_t threads) {
  const int64_t size = Packed::rows(hidden, halves) * LANES;
  threads = worth(threads, gates * hidden * hidden, 1 << 16);
  share_out((hidden + LANES - 1) / LANES, threads, [=](Share vectors, int64_t) {
    for (int64_t v = vectors.first; v < vectors.last; ++v)
      for (int64_t g = 0; g < gates; ++g) {
        const int64_t unit = v * LANES, left = hidden - unit;
        pack(packed + (v * gates + g) * size, weight + (g * hidden + unit) * hidden, hidden,
             left < LANES ? left : LANES, 1, hidden, halves);
      }
  });
}

// For the product of the gates' gradients with the weights.
void pack_backward(float *packed, const float *weight, int64_t gates, int64_t hidden,
                   int64_t halves, int64_t threads) {
  const int64_t depth = gates * hidden, rows = Packed::rows(depth, halves);
  threads = worth(threads, depth * hidden, 1 << 16);
  share_out((hidden + LANES - 1) / LANES, threads, [=](Share vectors, int64_t) {
    const int64_t first = vectors.first * LANES, last = vectors.last * LANES;
    pack(packed + first * rows, weight + first, depth, (last < hidden ? last : hidden) - first,
         hidden, 1, halves);
  });
}

// c (rows, columns) = start + a (rows, depth) @ b (depth, columns), a and b by their strides and,
// with halves, rounded to bfloat16. The start is one row for all; without one, c is added to.
void matrix_product(float *c, const float *a, int64_t a_row, int64_t a_column, const float *b,
                    int64_t b_row, int64_t b_column, int64_t rows, int64_t columns, int64_t depth,
                    const float *start, int64_t halves, int64_t threads) {
  product(Matrix{a, a_row, a_column}, Matrix{b, b_row, b_column}, c, rows, columns, depth, start,
          halves != 0, threads);
}

// The tensors by their addresses; without buffers, a step without momentum.
// The table has the tensors' sizes, then where the parameters lie, the buffers if there is
// momentum, and the gradients.
void optimizer_step(int64_t tensors, const int64_t *table, double lr, double momentum,
                    double previous, double decay, int64_t maximize, int64_t threads) {
  const Nesterov rule{(float)lr, (float)momentum, (float)previous, (float)decay, maximize != 0};
  float *const *places = reinterpret_cast<float *const *>(table + tensors);
  float *const *buffers = momentum != 0.0 ? places + tensors : nullptr;
  nesterov_step(rule, tensors, table, places, (buffers ? buffers : places) + tensors, buffers,
                threads);
}

void filter(int64_t time, int64_t channels, const float *x, float *out, const float *decay,
            int64_t decay_stride, const float *initial, double gain, int64_t reverse,
            int64_t threads) {
  linear_filter(time, channels, x, out, decay, decay_stride, initial, (float)gain, reverse != 0,
                threads);
}

// The rule's numbers stand as in Adam of adam.h.
void adam_rule_forward(int64_t time, int64_t batch, int64_t channels, const int64_t *lengths,
                       int64_t threads, const float *rule, float *drives, float *v, float *r,
                       const float *shift) {
  adam_forward(Problem{time, batch, channels, lengths, threads}, Adam::from(rule), drives, v, r,
               shift);
}

void adam_rule_backward(int64_t time, int64_t batch, int64_t channels, const int64_t *lengths,
                        int64_t threads, const float *rule, const float *drives, float *grads,
                        const float *v, const float *r, float *dv, float *dr, double *sums) {
  adam_backward(Problem{time, batch, channels, lengths, threads}, Adam::from(rule), drives, grads,
                v, r, dv, dr, sums);
}

// Recurrences. The weights are packed, with halves in bfloat16. Behind what a cell needs stand the
// options: for a forward the operands, mu and what dropout keeps, for a backward the same with the
// operands' gradients, and zoneout for each state.

void lstm_forward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                  int64_t threads, float *gates, float *out, float *cells, const float *h0,
                  const float *c0, const float *weights, int64_t halves, float *operands,
                  const float *mu, const uint8_t *kept, double scale, const uint8_t *zone_h,
                  double rate_h, const uint8_t *zone_c, double rate_c) {
  run_forward(Problem{time, batch, hidden, lengths, threads},
              Lstm{gates, out, cells, h0, c0, Packed{weights, hidden, halves != 0},
                   Operand{operands, mu, kept, (float)scale}, Zone{zone_h, (float)rate_h},
                   Zone{zone_c, (float)rate_c}});
}

void lstm_backward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                   int64_t threads, const float *gates, const float *cells, const float *c0,
                   const float *grad_out, const float *weights, int64_t halves, float *local,
                   float *dh, float *dc, float *operands, const float *mu, const uint8_t *kept,
                   double scale, const uint8_t *zone_h, double rate_h, const uint8_t *zone_c,
                   double rate_c) {
  run_backward(Problem{time, batch, hidden, lengths, threads},
               LstmGradient{gates, cells, c0, Packed{weights, 4 * hidden, halves != 0}, local, dc,
                            Pulled{dh, grad_out, Operand{operands, mu, kept, (float)scale}},
                            Zone{zone_h, (float)rate_h}, Zone{zone_c, (float)rate_c}});
}

void gru_forward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                 int64_t threads, float *gates, float *out, float *inner, const float *h0,
                 const float *weights, int64_t halves, const float *bias, float *operands,
                 const float *mu, const uint8_t *kept, double scale, const uint8_t *zone,
                 double rate) {
  run_forward(Problem{time, batch, hidden, lengths, threads},
              Gru{gates, out, inner, h0, Packed{weights, hidden, halves != 0}, bias,
                  Operand{operands, mu, kept, (float)scale}, Zone{zone, (float)rate}});
}

void gru_backward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                  int64_t threads, const float *gates, const float *out, const float *inner,
                  const float *h0, const float *grad_out, const float *weights, int64_t halves,
                  float *local, float *recurrent, float *dh, float *operands, const float *mu,
                  const uint8_t *kept, double scale, const uint8_t *zone, double rate) {
  run_backward(Problem{time, batch, hidden, lengths, threads},
               GruGradient{gates, out, inner, h0, Packed{weights, 3 * hidden, halves != 0}, local,
                           recurrent,
                           Pulled{dh, grad_out, Operand{operands, mu, kept, (float)scale}},
                           Zone{zone, (float)rate}});
}

void rnn_forward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                 int64_t threads, const float *pre, float *out, const float *h0,
                 const float *weights, int64_t halves, int64_t activation, const float *bias,
                 float *made, float *operands, const float *mu, const uint8_t *kept, double scale,
                 const uint8_t *zone, double rate) {
  run_forward(Problem{time, batch, hidden, lengths, threads},
              Rnn{pre, out, h0, Packed{weights, hidden, halves != 0}, activation, bias, made,
                  Operand{operands, mu, kept, (float)scale}, Zone{zone, (float)rate}});
}

void rnn_backward(int64_t time, int64_t batch, int64_t hidden, const int64_t *lengths,
                  int64_t threads, const float *made, const float *grad_out, const float *weights,
                  int64_t halves, float *local, int64_t activation, float *dh, float *operands,
                  const float *mu, const uint8_t *kept, double scale, const uint8_t *zone,
                  double rate) {
  run_backward(Problem{time, batch, hidden, lengths, threads},
               RnnGradient{made, Packed{weights, hidden, halves != 0}, local, activation,
                           Pulled{dh, grad_out, Operand{operands, mu, kept, (float)scale}},
                           Zone{zone, (float)rate}});
}
}
