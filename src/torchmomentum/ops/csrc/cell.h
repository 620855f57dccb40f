// What all recurrences share: their loops over time, and the gradient's product with the weights.
#pragma once

#include "norm.h"
#include "options.h"

namespace {

// A cell's tile<M, N>() makes one step of M rows and N vectors of units.
template <class Cell, int N> struct Tile {
  const Problem &p;
  const Cell &cell;
  int64_t t, unit;
  template <int M> void run(int64_t row) const { cell.template tile<M, N>(p, t, row, unit); }
};

template <int N> struct Count {
  static constexpr int value = N;
};

// Calls f(how many, the first unit) for a part's vectors of units, as many at a time as a tile has.
template <int VECTORS, class F> void for_vectors(const Part &part, const F &f) {
  int64_t v = part.vectors.first;
  for (; part.vectors.last - v >= VECTORS; v += VECTORS)
    f(Count<VECTORS>{}, v * LANES);
  for (; v < part.vectors.last; ++v)
    f(Count<1>{}, v * LANES);
}

// Adds the normalized product of a step to the pre-activations of a cell, which multiplies nothing
// then.
template <class Cell>
void normalize(const Problem &p, const Cell &cell, const Packed &weights, int64_t t,
               const Part &part) {
  const int64_t width = Cell::GATES * p.hidden, first = t * p.batch;
  const float *from = cell.operand.read(p, t, cell.out, cell.h0);
  float *to = cell.norms.normal + first * width;
  for_vectors<Cell::VECTORS>(part, [&](auto count, int64_t unit) {
    constexpr int N = decltype(count)::value;
    for_rows(part.rows, Make<Cell::GATES, N>{from, weights, to, p.hidden, unit});
  });
  part.meet();
  for (int64_t row = part.whole.first; row < part.whole.last; ++row) {
    const Standard standard = Standard::of(to + row * width, width);
    cell.norms.inverse[first + row] = standard.inverse;
    cell.add(p, standard, t, row);
  }
  part.meet();
}

template <class Cell> void run_forward(const Problem &p, Cell cell) {
  const Norms &norms = cell.norms;
  const Packed weights = cell.weights;
  if (norms.on())
    cell.weights.data = nullptr;
  share_out(p, [&](const Part &part) {
    for (int64_t t = 0; t < p.time; ++t) {
      if (norms.on())
        normalize(p, cell, weights, t, part);
      for_vectors<Cell::VECTORS>(part, [&](auto count, int64_t unit) {
        for_rows(part.rows, Tile<Cell, decltype(count)::value>{p, cell, t, unit});
      });
      part.meet();
      if (norms.on_cell()) {
        for (int64_t row = part.whole.first; row < part.whole.last; ++row)
          cell.finish(p, t, row);
        part.meet();
      }
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
  const Norms &norms = cell.norms;
  const int64_t width = Cell::GATES * p.hidden;
  const Pulled &pulled = cell.pulled;
  const bool more = pulled.operand.plain();
  share_out(p, [&](const Part &part) {
    const Share rows = part.rows, vectors = part.vectors, whole = part.whole;
    for (int64_t t = p.time - 1; t >= 0; --t) {
      const int64_t first = t * p.batch;
      if (norms.on_cell()) {
        part.meet();
        for (int64_t row = whole.first; row < whole.last; ++row)
          cell.finish(p, t, row, part.thread);
        part.meet();
      }
      for (int64_t row = rows.first; row < rows.last; ++row)
        for (int64_t v = vectors.first; v < vectors.last; ++v)
          cell.pointwise(p, t, row, v * LANES);
      part.meet();
      const float *local = cell.recurrent + first * width;
      if (norms.on()) {
        float *made = norms.made + first * width;
        for (int64_t row = whole.first; row < whole.last; ++row) {
          if (p.alive(t, row))
            standardize_gradient(made + row * width, local + row * width, norms.gain,
                                 norms.normal + (first + row) * width, norms.inverse[first + row],
                                 width, norms.sums + part.thread * width);
          else // nothing was made of what is there
            std::memset(made + row * width, 0, sizeof(float) * width);
        }
        part.meet();
        local = made;
      }
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

} // namespace
