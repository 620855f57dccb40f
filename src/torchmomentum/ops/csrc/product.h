// Matrix products in tiles of registers, with the weights packed by vectors of columns.
#pragma once

#include "parallel.h"

// A matrix (depth, columns) is packed as one vector of columns after the other, all of the depth
// for each; zeros fill the last.
static inline void pack(float *packed, const float *matrix, int64_t depth, int64_t columns,
                        int64_t row_stride, int64_t column_stride) {
  const int64_t BLOCK = 64; // rows at a time, so that what a line of the cache holds is all used
  for (int64_t block = 0; block < depth; block += BLOCK)
    for (int64_t column = 0; column < columns; column += LANES) {
      const int64_t end = block + BLOCK < depth ? block + BLOCK : depth;
      const int64_t count = columns - column < LANES ? columns - column : LANES;
      for (int64_t k = block; k < end; ++k) {
        float *to = packed + column * depth + k * LANES;
        const float *from = matrix + k * row_stride + column * column_stride;
        if (column_stride == 1) {
          store(to, load(from, count), LANES);
          continue;
        }
        for (int64_t lane = 0; lane < LANES; ++lane)
          to[lane] = lane < count ? from[lane * column_stride] : 0.0f;
      }
    }
}

// acc[m][n] += sum over k of a[m][k] * w[n][k]: a tile of M rows and N vectors of columns.
template <int M, int N>
static inline void multiply(Vector (&acc)[M][N], const float *a, int64_t row_stride,
                            int64_t k_stride, const float *w, int64_t vector_stride,
                            int64_t depth) {
  for (int64_t k = 0; k < depth; ++k) {
    Vector columns[N];
    for (int n = 0; n < N; ++n)
      std::memcpy(&columns[n], w + n * vector_stride + k * LANES, sizeof(Vector));
    for (int m = 0; m < M; ++m) {
      const float x = a[m * row_stride + k * k_stride];
      for (int n = 0; n < N; ++n)
        acc[m][n] += x * columns[n];
    }
  }
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
  static constexpr int64_t DEPTH = 256, VECTORS = 512 / LANES; // what the nearer caches hold

  Matrix a;            // (rows, depth)
  const float *packed; // (depth, columns)
  float *c;
  int64_t stride, columns, depth;
  const float *start; // what c begins from, a row for all, or null for what it holds

  template <int M, int N> void tile(const float *rows, int64_t row_stride, int64_t k_stride,
                                    float *to, int64_t column) const {
    const float *from = start ? start + column : to + column;
    const int64_t from_stride = start ? 0 : stride, left = columns - column;
    Vector acc[M][N];
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n)
        acc[m][n] = load(from + m * from_stride + n * LANES, left - n * LANES);
    multiply<M, N>(acc, rows, row_stride, k_stride, packed + column * depth, depth * LANES, depth);
    for (int m = 0; m < M; ++m)
      for (int n = 0; n < N; ++n)
        store(to + m * stride + column + n * LANES, acc[m][n], left - n * LANES);
  }

  template <int M>
  void row_of_tiles(const float *rows, int64_t row_stride, int64_t k_stride, float *to) const {
    int64_t column = 0;
    for (; columns - column > 3 * LANES; column += 4 * LANES)
      tile<M, 4>(rows, row_stride, k_stride, to, column);
    if (columns - column > 2 * LANES)
      tile<M, 3>(rows, row_stride, k_stride, to, column);
    else if (columns - column > LANES)
      tile<M, 2>(rows, row_stride, k_stride, to, column);
    else if (columns > column)
      tile<M, 1>(rows, row_stride, k_stride, to, column);
  }

  template <int M> void run(int64_t row) const {
    if (a.column_stride == 1)
      return row_of_tiles<M>(a.at(row, 0), a.row_stride, 1, c + row * stride);
    float rows[DEPTH * M]; // of a transposed matrix, side by side
    for (int64_t k = 0; k < depth; ++k)
      if (a.row_stride == 1)
        std::memcpy(rows + k * M, a.at(row, k), 4 * M);
      else
        for (int m = 0; m < M; ++m)
          rows[k * M + m] = *a.at(row + m, k);
    row_of_tiles<M>(rows, 1, M, c + row * stride);
  }
};

// c (rows, columns) = start + a (rows, depth) @ b (depth, columns); without a start, c is added to.
// Threads share out the rows, and each packs what it needs of b.
static inline void product(Matrix a, Matrix b, float *c, int64_t rows, int64_t columns,
                           int64_t depth, const float *start, int64_t threads) {
  const int64_t wide = ProductBlock::VECTORS * LANES, deep = ProductBlock::DEPTH;
  threads = worth(threads, rows * columns * depth, 1 << 20);
  share_out(rows, threads, [&](Share share, int64_t) {
    float *packed = new float[deep * wide];
    for (int64_t column = 0; column < columns; column += wide)
      for (int64_t k = 0; k < depth; k += deep) {
        const int64_t width = columns - column < wide ? columns - column : wide;
        const int64_t part = depth - k < deep ? depth - k : deep;
        pack(packed, b.at(k, column), part, width, b.row_stride, b.column_stride);
        for_rows(share, ProductBlock{Matrix{a.at(0, k), a.row_stride, a.column_stride}, packed,
                                     c + column, columns, width, part,
                                     start && k == 0 ? start + column : nullptr});
      }
    delete[] packed;
  });
}
