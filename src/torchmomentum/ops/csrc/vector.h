// Vectors of floats of the machine's width, and the functions of them that the gates need.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
// Rows of one register tile beside four vectors of columns: what 32 or 16 registers hold.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int TILE = 6;
#else
constexpr int TILE = 3;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));

static inline Vector splat(float x) { return x - Vector{}; }

// The first `count` floats at p, at most a vector's; zeros behind them.
static inline Vector load(const float *p, int64_t count) {
  Vector v = {};
  if (count >= LANES)
    std::memcpy(&v, p, sizeof v);
  else
    std::memcpy(&v, p, 4 * count);
  return v;
}

static inline void store(float *p, Vector v, int64_t count) {
  if (count >= LANES)
    std::memcpy(p, &v, sizeof v);
  else
    std::memcpy(p, &v, 4 * count);
}

// As bfloat16: the upper half of each float, rounded to the nearest, ties to even.
static inline void halve(uint16_t *to, Vector v) {
#if defined(__AVX512BF16__)
  const __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
  std::memcpy(to, &rounded, sizeof rounded);
#else
  Integers bits;
  std::memcpy(&bits, &v, sizeof bits);
  const Integers rounded = bits + 0x7FFF + ((bits >> 16) & 1);
  bits = v == v ? rounded : (bits | 0x400000); // rounding could make infinity of a NaN
  for (int i = 0; i < LANES; ++i)
    to[i] = (uint16_t)(bits[i] >> 16);
#endif
}

// acc + x[0] * y[0] + x[1] * y[1], with a pair of bfloat16 in each lane of y and the same x for all.
static inline Vector add_pairs(Vector acc, uint32_t x, const Integers &y) {
#if defined(__AVX512BF16__)
  const __m512i all = _mm512_set1_epi32((int)x);
  return (Vector)_mm512_dpbf16_ps((__m512)acc, (__m512bh)all, (__m512bh)y);
#else
  const uint32_t halves[2] = {x << 16, x & 0xFFFF0000u};
  const Integers parts[2] = {y << 16, y & (int32_t)0xFFFF0000};
  for (int i = 0; i < 2; ++i) {
    float a;
    Vector b;
    std::memcpy(&a, &halves[i], sizeof a);
    std::memcpy(&b, &parts[i], sizeof b);
    acc += a * b;
  }
  return acc;
#endif
}

// A NaN passes both.
static inline Vector at_most(Vector x, float bound) { return x > splat(bound) ? splat(bound) : x; }
static inline Vector at_least(Vector x, float bound) { return x < splat(bound) ? splat(bound) : x; }

// exp(x) - 1 as scale * p + (scale - 1), where p = exp(r) - 1 for the small rest r.
struct Exponential {
  Vector scale, p;
};

static inline Exponential exponential(Vector x) {
  x = at_least(at_most(x, 88.0f), -87.0f);
  const float magic = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer in the low bits
  Vector shifted = x * 1.44269504f + magic;
  Vector n = shifted - magic;
  Vector r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  Vector q = splat(1.9841270e-4f); // the series of exp: its rest is below a float's rounding here
  q = q * r + 1.3888889e-3f;
  q = q * r + 8.3333333e-3f;
  q = q * r + 4.1666667e-2f;
  q = q * r + 1.6666667e-1f;
  q = q * r + 0.5f;
  Vector p = q * r * r + r;
  Integers bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits - 0x4B400000 + 127) << 23;
  Exponential e;
  std::memcpy(&e.scale, &bits, sizeof bits);
  e.p = p;
  return e;
}

static inline Vector sigmoid(Vector x) {
  Exponential e = exponential(-x);
  return 1.0f / (1.0f + (e.scale * e.p + e.scale));
}

static inline Vector hyperbolic_tangent(Vector x) {
  Exponential e = exponential(at_least(at_most(x + x, 40.0f), -40.0f));
  Vector m = e.scale * e.p + (e.scale - 1.0f); // exp(2x) - 1, exact near zero
  return m / (m + 2.0f);
}

static inline Vector absolute(Vector x) { return x < Vector{} ? -x : x; }

static inline Vector root(Vector x) {
  float lanes[LANES];
  std::memcpy(lanes, &x, sizeof lanes);
  for (int i = 0; i < LANES; ++i)
    lanes[i] = __builtin_sqrtf(lanes[i]);
  std::memcpy(&x, lanes, sizeof lanes);
  return x;
}

static inline bool any(Integers mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#else
  int32_t found = 0;
  for (int i = 0; i < LANES; ++i)
    found |= mask[i];
  return found != 0;
#endif
}

// sqrt(a * a + b * b) without overflow, zero where both are.
static inline Vector hypotenuse(Vector a, Vector b) {
  const Vector sum = a * a + b * b;
  if (!any((sum < splat(1e-30f)) | (sum > splat(1e30f))))
    return root(sum);
  a = absolute(a), b = absolute(b);
  Vector large = a > b ? a : b, small = a > b ? b : a;
  Vector ratio = small / (large == Vector{} ? splat(1.0f) : large);
  return large * root(1.0f + ratio * ratio);
}
