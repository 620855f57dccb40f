// A plain layer in one call: for short sequences calls cost more than what they compute.
#pragma once

#include "step.h"
#include "sums.h"
#include "weights.h"

extern "C" {

// Outputs, activated gates, and the cells or a GRU's inner products, (time, batch, .). With a
// velocity see cell_step; `filtered` is (time, batch, inputs + 1).
void layer_forward(int64_t cell, int64_t time, int64_t batch, int64_t inputs, int64_t hidden,
                   int64_t threads, const float *x, const float *weight_ih, const float *bias_ih,
                   const float *weight_hh, const float *bias_hh, const float *h, const float *c,
                   const float *velocity, float *filtered, float *gates, float *out, float *kept,
                   double mu, double gain, double bound) {
  const int64_t count = gates_of(cell), width = count * hidden;
  const Momentum before{velocity, (float)mu, (float)gain, (float)bound};
  const Drive drive(before, time, batch, inputs, width, x, weight_ih, bias_ih, filtered, threads);
  if (time == 1) { // a step alone is not worth the packing
    step_gates(drive.affine, Affine{h, weight_hh, bias_hh, batch, hidden, width}, StepRule{}, gates,
               cell == STEP_GRU ? kept : nullptr, threads);
    run_plain(Problem{1, batch, hidden, nullptr, 1}, cell, gates, h, c, Packed{}, nullptr, out,
              kept);
    return;
  }
  const Scratch shift(width), packed(packed_size(count, hidden));
  const int64_t added = cell == STEP_GRU ? 2 * hidden : width; // a GRU's n has its own inside
  for (int64_t n = 0; n < width; ++n)
    shift.data[n] = (drive.affine.bias ? drive.affine.bias[n] : 0.0f) +
                    (bias_hh && n < added ? bias_hh[n] : 0.0f);
  Affine affine = drive.affine;
  affine.bias = shift.data;
  affine.values(gates, threads);
  pack_forward(packed.data, weight_hh, count, hidden, 0, threads);
  run_plain(Problem{time, batch, hidden, nullptr, threads}, cell, gates, h, c,
            Packed{packed.data, hidden, false}, bias_hh ? bias_hh + added : nullptr, out, kept);
}

// The gradients of the state in place of those of the last, and those of weights, biases and input,
// each if it is there. `recurrent` is a GRU's alone, else the same as `local`. With `beside` the
// input is what a momentum made of it and ones, (time, batch, inputs + 1).
void layer_backward(int64_t cell, int64_t time, int64_t batch, int64_t inputs, int64_t hidden,
                    int64_t beside, int64_t threads, const float *x, const float *weight_ih,
                    const float *weight_hh, const float *h, const float *c, const float *gates,
                    const float *out, const float *kept, const float *grad_out, float *dh,
                    float *dc, float *local, float *recurrent, float *grad_ih, float *grad_bias_ih,
                    float *grad_hh, float *grad_bias_hh, float *grad_x) {
  const int64_t count = gates_of(cell), width = count * hidden, rows = time * batch;
  const Scratch packed(packed_size(count, hidden));
  pack_backward(packed.data, weight_hh, count, hidden, 0, threads);
  const Problem problem{time, batch, hidden, nullptr, threads};
  const Packed weights{packed.data, width, false};
  const Pulled pulled{dh, grad_out, {}};
  const Norms plain = Norms::from(nullptr);
  if (cell == STEP_LSTM)
    run_backward(problem,
                 LstmGradient{gates, kept, c, weights, local, dc, pulled, {}, {}, plain});
  else if (cell == STEP_GRU)
    run_backward(problem, GruGradient{gates, out, kept, h, weights, local, recurrent, pulled, {},
                                      plain});
  else
    run_backward(problem, RnnGradient{out, weights, local, cell == STEP_RELU ? RELU : TANH, pulled,
                                      {}, plain});
  const float *made = cell == STEP_GRU ? recurrent : local;
  std::memset(grad_hh, 0, sizeof(float) * width * hidden);
  if (grad_bias_hh)
    std::memset(grad_bias_hh, 0, sizeof(float) * width);
  recurrent_sums(time, batch, width, hidden, 0, threads, made, made, h, out, grad_hh, grad_bias_hh);
  if (beside) {
    const int64_t wide = inputs + 1;
    const Scratch joined(width * wide);
    std::memset(joined.data, 0, sizeof(float) * width * wide);
    add_outer(local, x, rows, width, wide, joined.data, false, threads);
    const float *from = joined.data;
    for (int64_t n = 0; n < width; ++n, from += wide) {
      std::memcpy(grad_ih + n * inputs, from, sizeof(float) * inputs);
      grad_bias_ih[n] = from[inputs];
    }
    return;
  }
  std::memset(grad_ih, 0, sizeof(float) * width * inputs);
  const bool shared = grad_bias_ih && grad_bias_hh && made == local; // added to the same
  if (shared)
    std::memcpy(grad_bias_ih, grad_bias_hh, sizeof(float) * width);
  else if (grad_bias_ih)
    std::memset(grad_bias_ih, 0, sizeof(float) * width);
  input_sums(rows, width, inputs, 0, threads, local, x, weight_ih, grad_ih,
             shared ? nullptr : grad_bias_ih, grad_x);
}
}
