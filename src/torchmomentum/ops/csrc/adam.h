// The Adam rule along time: v / (r + eps), with v the momentum and r the running root mean square.
#pragma once

#include "parallel.h"

struct Adam {
  float mu, gain, beta, eps;
  float old_root, new_root; // of beta and of 1 - beta
  float limit;   // bounds the drive
  float largest; // bounds the gradients
  float bound;   // bounds the quotient

  static Adam of(double mu, double gain, double beta, double eps) {
    const double largest = __builtin_sqrt(3.40282346638528859812e38); // of what squares to a float
    return {(float)mu,
            (float)gain,
            (float)beta,
            (float)eps,
            (float)__builtin_sqrt(beta),
            (float)__builtin_sqrt(1.0 - beta),
            (float)(largest / (gain > 1.0 ? gain : 1.0)),
            (float)largest,
            1e4f};
  }

  Vector bounded(Vector drive) const { return at_least(at_most(drive, limit), -limit); }

  Vector quotient(Vector v, Vector r) const {
    return at_least(at_most(v / (r + eps), bound), -bound);
  }

  void step(Vector drive, Vector &v, Vector &r) const {
    const Vector x = bounded(drive);
    r = hypotenuse(old_root * r, new_root * x);
    v = mu * v + gain * x;
  }
};

// Blocks of channels of one row that are followed through all of time, one after the other.
struct AdamBlocks {
  Problem p; // its `hidden` is the number of channels
  int64_t wide;

  explicit AdamBlocks(const Problem &problem) : p(problem) {
    wide = 8192 / (p.time + 1); // both states of all steps stay in the nearest caches
    wide = wide > 256 ? 256 : wide < LANES ? LANES : wide / LANES * LANES;
  }

  // Calls work(row, first channel, channels, part) for all of them.
  template <class Work> void each(const Work &work) const {
    const int64_t across = (p.hidden + wide - 1) / wide;
    const int64_t threads = worth(p.threads, p.time * p.batch * p.hidden, 1 << 13);
    share_out(p.batch * across, threads, [&](Share share, int64_t part) {
      for (int64_t i = share.first; i < share.last; ++i) {
        const int64_t channel = i % across * wide;
        work(i / across, channel, p.hidden - channel < wide ? p.hidden - channel : wide, part);
      }
    });
  }
};

// y = v / (r + eps) + shift, in place of the drives; v and r (B, N) go from first to last.
static inline void adam_forward(const Problem &p, const Adam &rule, float *drives, float *v,
                                float *r, const float *shift) {
  AdamBlocks(p).each([=](int64_t row, int64_t channel, int64_t count, int64_t) {
    const int64_t state = row * p.hidden + channel;
    for (int64_t t = 0; t < p.time; ++t) {
      float *drive = drives + t * p.batch * p.hidden + state;
      const bool alive = p.alive(t, row);
      for (int64_t at = 0; at < count; at += LANES) {
        const int64_t left = count - at;
        Vector velocity = load(v + state + at, left), rms = load(r + state + at, left);
        if (alive) {
          rule.step(load(drive + at, left), velocity, rms);
          store(v + state + at, velocity, left);
          store(r + state + at, rms, left);
        }
        const Vector y = rule.quotient(velocity, rms);
        store(drive + at, shift ? y + load(shift + channel + at, left) : y, left);
      }
    }
  });
}

// From the gradients of y those of the drives, in place. v and r are the states at the start; dv
// and dr the gradients of the state, in: of the last, out: of the first. sums, where given, gets
// the gradients of mu and gain, two for each thread.
static inline void adam_backward(const Problem &p, const Adam &rule, const float *drives,
                                 float *grads, const float *v, const float *r, float *dv,
                                 float *dr, double *sums) {
  const float tiny = 1.17549435e-38f;
  const AdamBlocks blocks(p);
  blocks.each([=](int64_t row, int64_t channel, int64_t count, int64_t part) {
    const int64_t state = row * p.hidden + channel, area = p.batch * p.hidden;
    const int64_t wide = blocks.wide, half = (p.time + 1) * wide;
    const Scratch scratch(2 * half); // v and r before each step
    float *past = scratch.data;
    for (int64_t at = 0; at < count; at += LANES) {
      store(past + at, load(v + state + at, count - at), LANES);
      store(past + half + at, load(r + state + at, count - at), LANES);
    }
    for (int64_t t = 0; t < p.time; ++t)
      for (int64_t at = 0; at < count; at += LANES) {
        Vector velocity = load(past + t * wide + at, LANES);
        Vector rms = load(past + half + t * wide + at, LANES);
        if (p.alive(t, row))
          rule.step(load(drives + t * area + state + at, count - at), velocity, rms);
        store(past + (t + 1) * wide + at, velocity, LANES);
        store(past + half + (t + 1) * wide + at, rms, LANES);
      }
    Vector mu_sum = {}, gain_sum = {};
    for (int64_t t = p.time - 1; t >= 0; --t) {
      float *grad = grads + t * area + state;
      const float *drive = drives + t * area + state;
      for (int64_t at = 0; at < count; at += LANES) {
        const int64_t left = count - at;
        if (!p.alive(t, row)) { // what the cell does not read has no gradient
          store(grad + at, Vector{}, left);
          continue;
        }
        Vector velocity = load(past + (t + 1) * wide + at, LANES), x = load(drive + at, left);
        Vector rms = load(past + half + (t + 1) * wide + at, LANES);
        Vector grad_v = load(dv + state + at, left), grad_r = load(dr + state + at, left);
        Vector inverse = 1.0f / (rms + rule.eps);
        Vector y = velocity * inverse;
        Vector through = absolute(y) < splat(rule.bound) ? load(grad + at, left) : Vector{};
        through = at_least(at_most(through * inverse, rule.largest), -rule.largest);
        grad_v += through;
        grad_r -= through * y;
        // dr_t/dx_t = (1 - beta) x_t / r_t and dr_t/dr_{t-1} = beta r_{t-1} / r_t: both are
        // bounded, and zero in silence
        Vector upside_down = 1.0f / at_least(rms, tiny);
        Vector dx = grad_v * rule.gain + rule.new_root * rule.new_root * (x * upside_down) * grad_r;
        dx = at_least(at_most(dx, rule.largest), -rule.largest);
        store(grad + at, absolute(x) > splat(rule.limit) ? Vector{} : dx, left);
        if (sums) {
          mu_sum += grad_v * load(past + t * wide + at, LANES);
          gain_sum += grad_v * at_least(at_most(x, rule.limit), -rule.limit);
        }
        store(dv + state + at, grad_v * rule.mu, left);
        Vector before = load(past + half + t * wide + at, LANES);
        store(dr + state + at, rule.beta * before * upside_down * grad_r, left);
      }
    }
    if (sums)
      for (int lane = 0; lane < LANES; ++lane) {
        sums[2 * part] += mu_sum[lane];
        sums[2 * part + 1] += gain_sum[lane];
      }
  });
}
