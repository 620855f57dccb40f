// Replays recorded calls of the CPU kernels and compares what they write: on another processor, or
// under its emulator, where there is no Python. See record.py.
//
// Integers and pointers go in one sequence of registers and doubles in another, on x86-64 as on
// ARM: so one cast calls every kernel, and arguments that it does not take do no harm.

#include "kernels.cpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

#define KERNEL(name) {#name, reinterpret_cast<void *>(name)}
const std::map<std::string, void *> KERNELS = {
    KERNEL(packed_size),            KERNEL(pack_forward),
    KERNEL(pack_backward),          KERNEL(matrix_product),
    KERNEL(filter),                 KERNEL(filter_gradient),
    KERNEL(filter_beside_one),
    KERNEL(complex_filter_forward), KERNEL(complex_filter_backward),
    KERNEL(adam_rule_forward),      KERNEL(adam_rule_backward),
    KERNEL(lstm_forward),           KERNEL(lstm_backward),
    KERNEL(gru_forward),            KERNEL(gru_backward),
    KERNEL(rnn_forward),            KERNEL(rnn_backward),
    KERNEL(recurrent_sums),         KERNEL(input_sums),
    KERNEL(cell_step),
    KERNEL(layer_forward),          KERNEL(layer_backward),
};
constexpr int MOST = 32; // arguments that are no doubles

template <class T> T read(std::FILE *file) {
  T value;
  if (std::fread(&value, sizeof value, 1, file) != 1) {
    std::puts("the recording is cut off");
    std::exit(2);
  }
  return value;
}

std::vector<char> read_bytes(std::FILE *file, int64_t count) {
  std::vector<char> bytes(count);
  if (count && std::fread(bytes.data(), count, 1, file) != 1) {
    std::puts("the recording is cut off");
    std::exit(2);
  }
  return bytes;
}

// An argument: an integer, a double, or memory with what it holds before and after.
struct Argument {
  char kind; // i, d, s (the same as another), f (of floats), g (of doubles), b (of bytes)
  int64_t integer = 0;
  double number = 0;
  std::vector<char> memory, expected;
};

template <class T> double difference(const Argument &a) {
  double most = 0;
  for (size_t i = 0; i + sizeof(T) <= a.memory.size(); i += sizeof(T)) {
    T found, expected;
    std::memcpy(&found, a.memory.data() + i, sizeof(T));
    std::memcpy(&expected, a.expected.data() + i, sizeof(T));
    if (std::isnan(expected) || std::isinf(expected)) {
      if (std::isnan(expected) ? !std::isnan(found) : found != expected)
        return INFINITY;
      continue;
    }
    const double off = std::fabs((double)found - (double)expected) / (1 + std::fabs((double)expected));
    most = off <= most ? most : off; // a NaN counts
  }
  return most;
}

} // namespace

int main(int, char **arguments) {
  std::FILE *file = std::fopen(arguments[1], "rb");
  if (!file)
    return std::puts("there is no such recording"), 2;
  const double tolerance = 1e-4;
  int64_t calls = read<int64_t>(file);
  double worst = 0;
  for (int64_t call = 0; call < calls; ++call) {
    const std::vector<char> letters = read_bytes(file, read<int64_t>(file));
    const std::string name(letters.begin(), letters.end());
    std::vector<Argument> given(read<int64_t>(file));
    int64_t integers[MOST] = {};
    double doubles[8] = {};
    int count = 0, numbers = 0;
    for (Argument &a : given) {
      a.kind = read<char>(file);
      if (a.kind == 'd') {
        doubles[numbers++] = read<double>(file);
        continue;
      }
      a.integer = read<int64_t>(file); // or how many bytes
      if (a.kind == 's')
        a.integer = given[a.integer].integer;
      else if (a.kind != 'i') {
        a.memory = read_bytes(file, a.integer);
        a.expected = read_bytes(file, a.integer);
        a.integer = reinterpret_cast<int64_t>(a.memory.data());
      }
      integers[count++] = a.integer;
    }
    typedef int64_t (*Kernel)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                              int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                              int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                              int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                              int64_t, int64_t, int64_t, int64_t, double, double, double, double,
                              double, double, double, double);
    const int64_t *x = integers;
    const double *d = doubles;
    reinterpret_cast<Kernel>(KERNELS.at(name))(
        x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11], x[12], x[13],
        x[14], x[15], x[16], x[17], x[18], x[19], x[20], x[21], x[22], x[23], x[24], x[25], x[26],
        x[27], x[28], x[29], x[30], x[31], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
    for (const Argument &a : given) {
      const double off = a.kind == 'f'   ? difference<float>(a)
                         : a.kind == 'g' ? difference<double>(a)
                         : a.kind == 'b' ? (a.memory == a.expected ? 0 : INFINITY)
                                         : 0;
      if (!(off <= tolerance))
        return std::printf("call %lld, %s: differs by %g\n", (long long)call, name.c_str(), off), 1;
      worst = off > worst ? off : worst;
    }
  }
  std::printf("%lld calls agree to %g, vectors of %d floats\n", (long long)calls, worst, LANES);
}
