#include "ops/swi_glu/swi_glu.h"

#include "check/cuda/device.h"
#include "check/cuda/limits.h"
#include "common/absolute_max.h"

namespace halo::check::swi_glu {

namespace {

const SerialExecutor kSerial;

template <class T>
void check_swi_glu(int64_t count, bool has_max) {
  const auto gate = numbers<T>(count, 34), up = numbers<T>(count, 35);
  std::vector<T> y(gate.size());
  swi_glu_cpu(gate.data(), up.data(), y.data(), count, kSerial);
  const OnDevice<T> gate_device(gate), up_device(up);
  const OnDevice<float> absmax_device(1);
  const std::string what = "swi glu " + name_of_type<T>();
  const auto found = run_twice<T>(what, count, [&](T* out) {
    return swi_glu_cuda(type_of<T>(), gate_device.data(), up_device.data(), out, has_max ? absmax_device.data() : nullptr, count, nullptr);
  });
  float absmax = 0;
  absolute_max_cpu(found.data(), count, &absmax, kSerial);
  if (has_max) expect(absmax_device.download(what)[0] == absmax, what + " absmax");
  expect_all_near<T>(
      found, reals(y), [](double v) { return beside<T>(32)(v) + 1e-34; }, what);
}

}  // namespace

HALO_CHECK(cuda_swi_glu_as_the_cpu, Memory::kShared) {
  for_floats([]<class T>() {
    for (const int64_t count : {1, 13, 4096, 10001}) check_swi_glu<T>(count, true);
    check_swi_glu<T>(4101, false);
    if (!is_reduced()) check_swi_glu<T>(300003, true);
  });
}

HALO_CHECK(limits_of_swi_glu_are_named) { expect_refused(swi_glu_cuda(DType::kInt8, none, none, nowhere, nullptr, 8, nullptr), kFloatTensors, "int8"); }

}  // namespace halo::check::swi_glu
