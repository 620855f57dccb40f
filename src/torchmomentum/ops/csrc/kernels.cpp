// Recurrences over pre-activations, in float32, their products in bfloat16 where that is asked for,
// behind a C interface: no headers but the compiler's.
//
// Rows of the batch are independent, so threads share out the rows and never meet; where there are
// too few rows they share out the hidden units instead, and meet once a step. The recurrent product
// of a tile of registers holds all gates of the same units, and their nonlinearities follow before
// anything is written.
//
// All arrays are contiguous: sequences (T, B, width), states (B, H). Gates stand in torch.nn's
// order. A forward without weights has its product in the pre-activations already. A cell's backward
// leaves the gradients of the pre-activations; from them sums.h makes those of the weights, by one
// large product each.

#include "adam.h"
#include "filter.h"
#include "gru.h"
#include "lstm.h"
#include "nesterov.h"
#include "rnn.h"
#include "step.h"
#include "sums.h"
#include "whole.h"

extern "C" {

// Hands over the OpenMP library's GOMP_parallel, GOMP_barrier, omp_get_num_threads and
// omp_get_thread_num.
void use_threads(void *parallel, void *barrier, void *threads, void *thread) {
  openmp = {reinterpret_cast<decltype(OpenMP::parallel)>(parallel),
            reinterpret_cast<decltype(OpenMP::barrier)>(barrier),
            reinterpret_cast<decltype(OpenMP::threads)>(threads),
            reinterpret_cast<decltype(OpenMP::thread)>(thread)};
}

// The recurrences stand in a header for each cell. Their weights are packed, with bfloat16 in
// pairs. Behind what a cell needs stand the modifiers: for a forward the operands, mu and what
// dropout keeps, for a backward the same with the operands' gradients, zoneout for each state, and
// the table of Norms.

// c (rows, columns) = start + a (rows, depth) @ b (depth, columns), a and b by their strides and,
// with bfloat16, rounded to it. The start is one row for all; without one, c is added to.
void matrix_product(float *c, const float *a, int64_t a_row, int64_t a_column, const float *b,
                    int64_t b_row, int64_t b_column, int64_t rows, int64_t columns, int64_t depth,
                    const float *start, int64_t bfloat16, int64_t threads) {
  product(Matrix{a, a_row, a_column}, Matrix{b, b_row, b_column}, c, rows, columns, depth, start,
          bfloat16 != 0, threads);
}

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
            int64_t decay_stride, const float *initial, double gain, double bound, int64_t reverse,
            int64_t threads) {
  Filter{time, channels, decay, decay_stride, (float)gain, (float)bound, reverse != 0, threads}
      .values(x, initial, out);
}

void filter_beside_one(int64_t time, int64_t rows, int64_t width, const float *x,
                       const float *initial, float *out, double decay, double gain, double bound,
                       int64_t threads) {
  values_beside_one(time, rows, width, x, initial, out, (float)decay, (float)gain, (float)bound,
                    threads);
}

void filter_gradient(int64_t time, int64_t channels, const float *grad, const float *x,
                     float *grad_x, const float *decay, int64_t decay_stride, float *carry,
                     double gain, double bound, int64_t reverse, int64_t threads) {
  Filter{time, channels, decay, decay_stride, (float)gain, (float)bound, reverse != 0, threads}
      .gradients(grad, x, carry, grad_x);
}

void complex_filter_forward(int64_t time, int64_t batch, int64_t size, int64_t reverse,
                            int64_t threads, const float *decay, const float *gain, const float *x,
                            int64_t width, float *out, const float *initial) {
  complex_values(ComplexFilter{time, batch, size, decay, gain, reverse != 0}, x, width, out,
                 initial, threads);
}

void complex_filter_backward(int64_t time, int64_t batch, int64_t size, int64_t reverse,
                             int64_t threads, const float *decay, const float *gain, const float *x,
                             int64_t width, const float *out, const float *initial,
                             const float *grad, float *grad_x, float *grad_initial, float *sums) {
  complex_gradients(ComplexFilter{time, batch, size, decay, gain, reverse != 0}, x, width, out,
                    initial, grad, grad_x, grad_initial, sums, threads);
}

void adam_rule_forward(int64_t time, int64_t batch, int64_t channels, const int64_t *lengths,
                       int64_t threads, double mu, double gain, double beta, double eps,
                       float *drives, float *v, float *r, const float *shift) {
  adam_forward(Problem{time, batch, channels, lengths, threads}, Adam::of(mu, gain, beta, eps),
               drives, v, r, shift);
}

void adam_rule_backward(int64_t time, int64_t batch, int64_t channels, const int64_t *lengths,
                        int64_t threads, double mu, double gain, double beta, double eps,
                        const float *drives, float *grads, const float *v, const float *r,
                        float *dv, float *dr, double *sums) {
  adam_backward(Problem{time, batch, channels, lengths, threads}, Adam::of(mu, gain, beta, eps),
                drives, grads, v, r, dv, dr, sums);
}
}
