// What all recurrences share: their loops over time, and the gradient's product with the weights.
#pragma once

#include "options.h"
#include "product.h"

namespace {

// A cell's tile<M, N>() makes one step of M rows and N vectors of units.
template <class Cell, int N> struct Tile {
  const Problem &p;
  const Cell &cell;
  int64_t t, unit;
  template <int M> void run(int64_t row) const { cell.template tile<M, N>(p, t, row, unit); }
};

template <class Cell> void run_forward(const Problem &p, const Cell &cell) {
  share_out(p, [&](Share rows, Share vectors, void (*meet)()) {
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
  share_out(p, [&](Share rows, Share vectors, void (*meet)()) {
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

} // namespace
