// What a recurrence may do beyond the plain cell: each part is off where its pointer is null.
#pragma once

#include "parallel.h"

// One byte for each lane, 0 or 1.
static inline Vector flags(const uint8_t *p, int64_t count) {
  uint8_t bytes[LANES] = {};
  std::memcpy(bytes, p, count < LANES ? count : LANES);
  float lanes[LANES];
  for (int i = 0; i < LANES; ++i)
    lanes[i] = bytes[i];
  Vector v;
  std::memcpy(&v, lanes, sizeof v);
  return v;
}

// What the recurrent product reads where that is not the last h itself: h led ahead by mu of its
// last change, and of that what recurrent dropout keeps.
struct Operand {
  float *rows;         // (T, B, H) of the products, the first of them made outside
  const float *mu;     // (T + 2, B), zero beyond the sequence
  const uint8_t *kept; // (B, H)
  float scale;

  bool plain() const { return !rows; }

  // What the product of step t reads, (B, H).
  const float *read(const Problem &p, int64_t t, const float *out, const float *h0) const {
    const int64_t area = p.batch * p.hidden;
    return rows ? rows + t * area : t ? out + (t - 1) * area : h0;
  }

  Vector seen(const Problem &p, int64_t row, int64_t unit, Vector v) const {
    return kept ? v * (scale * flags(kept + row * p.hidden + unit, p.hidden - unit)) : v;
  }

  // Makes what the step after t multiplies.
  void make_next(const Problem &p, int64_t t, int64_t row, int64_t unit, Vector h,
                 Vector before) const {
    if (!rows || t + 1 == p.time)
      return;
    if (mu)
      h += mu[(t + 1) * p.batch + row] * (h - before);
    store(rows + ((t + 1) * p.batch + row) * p.hidden + unit, seen(p, row, unit, h),
          p.hidden - unit);
  }
};

// The gradient of h: what comes from later steps past the weights, from the outputs, and, where
// products have an operand of their own, from those of the next two steps.
struct Pulled {
  float *dh;             // (B, H)
  const float *grad_out; // (T, B, H) or null
  Operand operand;       // its rows are the gradients of the operands, (T + 2, B, H)

  Vector at(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    const int64_t place = row * p.hidden + unit, left = p.hidden - unit, area = p.batch * p.hidden;
    Vector h = load(dh + place, left);
    if (grad_out)
      h += load(grad_out + t * area + place, left);
    if (operand.plain())
      return h;
    const float *next = operand.rows + (t + 1) * area + place;
    Vector through = load(next, left);
    if (operand.mu) {
      const float *mu = operand.mu + (t + 1) * p.batch + row;
      through = (1.0f + mu[0]) * through - mu[p.batch] * load(next + area, left);
    }
    return h + operand.seen(p, row, unit, through);
  }
};

// Zoneout: how much of a state stays as it is, unit by unit or all of it alike.
struct Zone {
  const uint8_t *mask; // (T, B, H)
  float rate;

  bool on() const { return mask || rate != 0.0f; }

  Vector at(const Problem &p, int64_t t, int64_t row, int64_t unit) const {
    if (!mask)
      return splat(rate);
    return flags(mask + (t * p.batch + row) * p.hidden + unit, p.hidden - unit);
  }

  // What becomes of a state: a unit that stays does so to the last bit.
  Vector mix(const Problem &p, int64_t t, int64_t row, int64_t unit, Vector now,
             Vector before) const {
    const Vector stays = at(p, t, row, unit);
    return mask ? (stays > Vector{} ? before : now) : now + stays * (before - now);
  }
};
