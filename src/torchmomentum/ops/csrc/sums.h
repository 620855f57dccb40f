// What a backward ends in: the gradients of the weights and of the input, from those of the gates.
#pragma once

#include "product.h"

namespace {

// sum (width) += the rows of `from` (rows, width), 64 by themselves: a long sum loses digits.
static inline void add_rows(const float *from, int64_t rows, int64_t width, float *sum,
                            int64_t threads) {
  constexpr int64_t BLOCK = 64;
  threads = worth(threads, rows * width, 1 << 17);
  share_out((width + LANES - 1) / LANES, threads, [=](Share vectors, int64_t) {
    const int64_t begin = vectors.first * LANES, end = vectors.last * LANES;
    const int64_t last = end < width ? end : width;
    const Scratch part(end - begin);
    for (int64_t row = 0; row < rows; row += BLOCK) {
      const int64_t stop = row + BLOCK < rows ? row + BLOCK : rows;
      std::memset(part.data, 0, sizeof(float) * (end - begin));
      for (int64_t r = row; r < stop; ++r)
        for (int64_t at = begin; at < last; at += LANES)
          store(part.data + at - begin,
                load(part.data + at - begin, LANES) + load(from + r * width + at, last - at), LANES);
      for (int64_t at = begin; at < last; at += LANES)
        store(sum + at, load(sum + at, last - at) + load(part.data + at - begin, LANES), last - at);
    }
  });
}

constexpr int64_t NARROW = 16; // inputs up to which the transposed product is the faster one

// sum (width, inputs) += local.T @ x, of local (rows, width) and x (rows, inputs).
static inline void add_outer(const float *local, const float *x, int64_t rows, int64_t width,
                             int64_t inputs, float *sum, bool bfloat16, int64_t threads) {
  if (inputs >= NARROW)
    return product(Matrix{local, 1, width}, Matrix{x, inputs, 1}, sum, width, inputs, rows, nullptr,
                   bfloat16, threads);
  const Scratch made(inputs * width);
  std::memset(made.data, 0, sizeof(float) * inputs * width);
  product(Matrix{x, 1, inputs}, Matrix{local, width, 1}, made.data, inputs, width, rows, nullptr,
          bfloat16, threads);
  for (int64_t unit = 0; unit < width; ++unit)
    for (int64_t i = 0; i < inputs; ++i)
      sum[unit * inputs + i] += made.data[i * width + unit];
}

} // namespace

extern "C" {

// Adds to the gradients of weight_hh (width, hidden) and of its bias, if any. `made` has those of
// the products, `local` of the pre-activations, (time, batch, width). The products read `first`
// (batch, hidden) in the first of the steps and `rest` in the others.
void recurrent_sums(int64_t time, int64_t batch, int64_t width, int64_t hidden, int64_t bfloat16,
                    int64_t threads, const float *made, const float *local, const float *first,
                    const float *rest, float *weight, float *bias) {
  const int64_t begun = rest == first + batch * hidden ? time : 1; // steps that lie side by side
  product(Matrix{made, 1, width}, Matrix{first, hidden, 1}, weight, width, hidden, begun * batch,
          nullptr, bfloat16 != 0, threads);
  if (begun < time)
    product(Matrix{made + batch * width, 1, width}, Matrix{rest, hidden, 1}, weight, width, hidden,
            (time - 1) * batch, nullptr, bfloat16 != 0, threads);
  if (bias)
    add_rows(local, time * batch, width, bias, threads);
}

// Adds to the gradients of weight_ih (width, inputs) and of its bias, of each if there is one, from
// those of the drives, (rows, width). Makes that of the input (rows, inputs), if it is asked for.
void input_sums(int64_t rows, int64_t width, int64_t inputs, int64_t bfloat16, int64_t threads,
                const float *local, const float *x, const float *weight_ih, float *weight,
                float *bias, float *grad_x) {
  if (bias)
    add_rows(local, rows, width, bias, threads);
  if (weight)
    add_outer(local, x, rows, width, inputs, weight, bfloat16 != 0, threads);
  if (!grad_x)
    return;
  const Scratch zeros(inputs);
  std::memset(zeros.data, 0, sizeof(float) * inputs);
  product(Matrix{local, width, 1}, Matrix{weight_ih, inputs, 1}, grad_x, rows, inputs, width,
          zeros.data, bfloat16 != 0, threads);
}
}
