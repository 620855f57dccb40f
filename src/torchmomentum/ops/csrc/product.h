// Matrix products in tiles of registers, with the weights packed by vectors of columns.
#pragma once

#include "parallel.h"

// A matrix (depth, columns) packed as one vector of columns after the other, all of the depth for
// each; zeros fill the last. In bfloat16 two numbers of neighbouring depth share a lane.
struct Packed {
  const float *data;
  int64_t depth;
  bool bfloat16;

  static int64_t rows(int64_t depth, bool bfloat16) { return bfloat16 ? (depth + 1) / 2 : depth; }
  int64_t rows() const { return rows(depth, bfloat16); }
  Packed from(int64_t vector) const { return {data + vector * rows() * LANES, depth, bfloat16}; }
};

static inline void pack(float *packed, const float *matrix, int64_t depth, int64_t columns,
                        int64_t row_stride, int64_t column_stride, bool bfloat16) {
  const int64_t BLOCK = 64; // rows at a time, so that what a line of the cache holds is all used
  const int64_t rows = Packed::rows(depth, bfloat16);
  for (int64_t block = 0; block < depth; block += BLOCK)
    for (int64_t column = 0; column < columns; column += LANES) {
      const int64_t end = block + BLOCK < depth ? block + BLOCK : depth;
      const int64_t count = columns - column < LANES ? columns - column : LANES;
      const auto row = [=](int64_t k) {
        const float *from = matrix + k * row_stride + column * column_stride;
        if (column_stride == 1)
          return load(from, count);
        Vector v = {};
        for (int64_t lane = 0; lane < count; ++lane)
          v[lane] = from[lane * column_stride];
        return v;
      };
      float *to = packed + column * rows;
      if (!bfloat16) {
        for (int64_t k = block; k < end; ++k)
          store(to + k * LANES, row(k), LANES);
        continue;
      }
      for (int64_t k = block; k < end; k += 2) {
        uint16_t even[LANES], odd[LANES], pairs[2 * LANES];
        halve(even, row(k));
        halve(odd, k + 1 < end ? row(k + 1) : Vector{});
        for (int lane = 0; lane < LANES; ++lane)
          pairs[2 * lane] = even[lane], pairs[2 * lane + 1] = odd[lane];
        std::memcpy(to + k / 2 * LANES, pairs, sizeof pairs);
      }
    }
}

// acc[m][n] += sum over k of a[m][k] * w[k][n]: a tile of M rows and N vectors of columns. The rows
// are held and the columns pass, one at a time: 3 rows by 4 vectors then fill sixteen registers.
template <int M, int N>
static inline void multiply_floats(Vector (&acc)[M][N], const float *a, int64_t row_stride,
                                   int64_t k_stride, const Packed &w) {
  const int64_t vector_stride = w.depth * LANES;
  for (int64_t k = 0; k < w.depth; ++k) {
    Vector rows[M];
    for (int m = 0; m < M; ++m)
      rows[m] = splat(a[m * row_stride + k * k_stride]);
    for (int n = 0; n < N; ++n) {
      Vector columns;
      std::memcpy(&columns, w.data + n * vector_stride + k * LANES, sizeof(Vector));
      for (int m = 0; m < M; ++m)
        acc[m][n] += rows[m] * columns;
    }
  }
}

constexpr int64_t DEPTH = 256; // of a product at a time: what the nearer caches hold

// Some of the depth of M rows as bfloat16.
template <int M> struct PairRows {
  uint16_t numbers[M][DEPTH];

  PairRows(const float *a, int64_t row_stride, int64_t k_stride, int64_t count) {
    for (int m = 0; m < M; ++m) {
      const float *row = a + m * row_stride;
      float gathered[DEPTH];
      if (k_stride != 1) {
        for (int64_t k = 0; k < count; ++k)
          gathered[k] = row[k * k_stride];
        row = gathered;
      }
      for (int64_t k = 0; k < count; k += LANES)
        halve(numbers[m] + k, load(row + k, count - k));
    }
  }
};

// The same for `count` of the depth from `first` on.
template <int M, int N>
static inline void multiply_pairs(Vector (&acc)[M][N], const PairRows<M> &a, const Packed &w,
                                   int64_t first, int64_t count) {
  const int64_t vector_stride = w.rows() * LANES;
  const float *from = w.data + first / 2 * LANES;
  for (int64_t k = 0; k < (count + 1) / 2; ++k) {
    Integers columns[N];
    for (int n = 0; n < N; ++n)
      std::memcpy(&columns[n], from + n * vector_stride + k * LANES, sizeof(Integers));
    for (int m = 0; m < M; ++m) {
      uint32_t pair;
      std::memcpy(&pair, a.numbers[m] + 2 * k, sizeof pair);
      for (int n = 0; n < N; ++n)
        acc[m][n] = add_pairs(acc[m][n], pair, columns[n]);
    }
  }
}

// The same a part of the depth after the other. On its own, and on sums of its own: a tile whose
// address is handed out stays in memory, not in registers.
template <int M, int N>
__attribute__((noinline)) static void multiply_in_parts(Vector (&acc)[M][N], const float *rows,
                                                        int64_t stride, const Packed &w) {
  Vector sums[M][N];
  std::memcpy(sums, acc, sizeof sums);
  for (int64_t k = 0; k < w.depth; k += DEPTH) {
    const int64_t count = w.depth - k < DEPTH ? w.depth - k : DEPTH;
    const PairRows<M> part(rows + k, stride, 1, count);
    multiply_pairs(sums, part, w, k, count);
  }
  std::memcpy(acc, sums, sizeof sums);
}

// The same for rows that lie side by side, in the precision of the packed weights.
template <int M, int N>
static inline void multiply(Vector (&acc)[M][N], const float *rows, int64_t stride,
                            const Packed &w) {
  if (!w.bfloat16)
    return multiply_floats(acc, rows, stride, 1, w);
  Vector sums[M][N];
  std::memcpy(sums, acc, sizeof sums);
  multiply_in_parts(sums, rows, stride, w);
  std::memcpy(acc, sums, sizeof sums);
}

// Calls tile.run<M>(row) for as many rows at once as registers hold.
template <class Tile> static inline void for_rows(Share rows, const Tile &tile) {
  int64_t row = rows.first;
  for (; rows.last - row >= TILE; row += TILE)
    tile.template run<TILE>(row);
  switch (rows.last - row) {
  case 5: tile.template run<TILE >= 5 ? 5 : 1>(row); break;
  case 4: tile.template run<TILE >= 4 ? 4 : 1>(row); break;
  case 3: tile.template run<TILE >= 3 ? 3 : 1>(row); break;
  case 2: tile.template run<2>(row); break;
  case 1: tile.template run<1>(row); break;
  }
}

// A matrix by its strides.
struct Matrix {
  const float *data;
  int64_t row_stride, column_stride;
  const float *at(int64_t row, int64_t column) const {
    return data + row * row_stride + column * column_stride;
  }
};

// One block of a product: rows of c get a @ packed, over part of the depth and of the columns.
struct ProductBlock {
  static constexpr int64_t VECTORS = 512 / LANES; // what the nearer caches hold

  Matrix a;      // (rows, depth)
  Packed packed; // (depth, columns)
  float *c;
  int64_t stride, columns;
  const float *start; // what c begins from, a row for all, or null for what it holds

  // multiply(acc, weights) adds the product of the rows that are at hand.
  template <int M, int N, class Multiply>
  void tile(const Multiply &multiply, float *to, int64_t column) const {
    const float *from = start ? start + column : to + column;
    const int64_t from_stride = start ? 0 : stride, left = columns - column;
    Vector acc[M][N];
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n)
        acc[m][n] = load(from + m * from_stride + n * LANES, left - n * LANES);
    multiply(acc, packed.from(column / LANES));
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n)
        store(to + m * stride + column + n * LANES, acc[m][n], left - n * LANES);
  }

  template <int M, class Multiply> void tiles(const Multiply &multiply, float *to) const {
    int64_t column = 0;
    for (; columns - column > 3 * LANES; column += 4 * LANES)
      tile<M, 4>(multiply, to, column);
    if (columns - column > 2 * LANES)
      tile<M, 3>(multiply, to, column);
    else if (columns - column > LANES)
      tile<M, 2>(multiply, to, column);
    else if (columns > column)
      tile<M, 1>(multiply, to, column);
  }

  template <int M> void run(int64_t row) const {
    const float *first = a.at(row, 0);
    const int64_t down = a.row_stride, along = a.column_stride, depth = packed.depth;
    float *to = c + row * stride;
    if (packed.bfloat16) {
      const PairRows<M> rows(first, down, along, depth);
      return tiles<M>(
          [&](auto &acc, const Packed &w) { multiply_pairs(acc, rows, w, 0, depth); }, to);
    }
    if (along == 1)
      return tiles<M>(
          [&](auto &acc, const Packed &w) { multiply_floats(acc, first, down, 1, w); }, to);
    float rows[DEPTH * M]; // of a transposed matrix, side by side
    for (int64_t k = 0; k < depth; ++k)
      if (down == 1)
        std::memcpy(rows + k * M, first + k * along, 4 * M);
      else
        for (int m = 0; m < M; ++m)
          rows[k * M + m] = first[m * down + k * along];
    tiles<M>([&](auto &acc, const Packed &w) { multiply_floats(acc, rows, 1, M, w); }, to);
  }
};

// c (rows, columns) = start + a (rows, depth) @ b (depth, columns); without a start, c is added to.
// Threads share out the rows, and each packs what it needs of b.
static inline void product(Matrix a, Matrix b, float *c, int64_t rows, int64_t columns,
                           int64_t depth, const float *start, bool bfloat16, int64_t threads) {
  const int64_t wide = ProductBlock::VECTORS * LANES;
  threads = worth(threads, rows * columns * depth, 1 << 20);
  share_out(rows, threads, [&](Share share, int64_t) {
    const Scratch scratch(DEPTH * wide);
    float *packed = scratch.data;
    for (int64_t column = 0; column < columns; column += wide)
      for (int64_t k = 0; k < depth; k += DEPTH) {
        const int64_t width = columns - column < wide ? columns - column : wide;
        const int64_t part = depth - k < DEPTH ? depth - k : DEPTH;
        pack(packed, b.at(k, column), part, width, b.row_stride, b.column_stride, bfloat16);
        for_rows(share, ProductBlock{Matrix{a.at(0, k), a.row_stride, a.column_stride},
                                     Packed{packed, part, bfloat16}, c + column, columns, width,
                                     start && k == 0 ? start + column : nullptr});
      }
  });
}
