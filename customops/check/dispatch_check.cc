// A type that a function has no code for is refused: what would be read as another type would give wrong numbers.
#include "check/check.h"
#include "common/codes.h"
#include "common/dispatch.h"
#include "ops/scaled_mat_mul/scaled_mat_mul.h"

namespace halo::check {

namespace {

/// ONNX's number of a type that the library does not know: float8e4m3fnuz.
constexpr auto kUnknown = static_cast<DType>(18);

void expect_refused(const Status& status, int calls, const std::string& expected, const std::string& what) {
  expect(!status.ok() && status.message().find(expected) != std::string::npos,
         what + ": expected a refusal with '" + expected + "', found '" + status.message() + "'");
  expect(calls == 0, what + ": ran");
}

}  // namespace

HALO_CHECK(unknown_types_are_refused) {
  for (const DType type : {DType::kUndefined, DType::kUInt8, DType::kInt32, DType::kBool, DType::kDouble, DType::kFloat8E4M3, kUnknown}) {
    int calls = 0;
    expect_refused(dispatch(type, [&]<class T>() { ++calls; }), calls, "expected a tensor of float, bfloat16, float16, found " + std::string(name_of(type)),
                   name_of(type));
  }
  for (const DType type : {DType::kUndefined, DType::kUInt8, DType::kFloat, kUnknown}) {
    int calls = 0;
    expect_refused(dispatch_codes(type, [&]<class Format>() { ++calls; }), calls, "expected codes of float8e4m3fn, float8e5m2 or int8", name_of(type));
  }
  int calls = 0;
  expect_refused(dispatch_format("e4m3fnuz", [&]<class Format>() { ++calls; }), calls, "found 'e4m3fnuz'", "format");
}

HALO_CHECK(known_types_are_called_once) {
  for (const DType type : {DType::kFloat, DType::kBFloat16, DType::kFloat16}) {
    DType found = DType::kUndefined;
    expect(dispatch(type, [&]<class T>() { found = found == DType::kUndefined ? dtype_of<T>() : DType::kUndefined; }).ok() && found == type, name_of(type));
  }
  for (const DType type : {DType::kFloat8E4M3, DType::kFloat8E5M2, DType::kInt8}) {
    DType found = DType::kUndefined;
    expect(dispatch_codes(type, [&]<class Format>() { found = Format::kType; }).ok() && found == type, name_of(type));
  }
}

HALO_CHECK(types_of_unknown_size_are_refused) {
  expect(size_of(DType::kBool) == 1 && size_of(DType::kFloat8E5M2) == 1 && size_of(DType::kBFloat16) == 2 && size_of(DType::kInt64) == 8, "sizes of types");
  for (const DType type : {DType::kUndefined, kUnknown}) {
    bool is_refused = false;
    try {
      size_of(type);
    } catch (const std::invalid_argument& e) {
      is_refused = std::string(e.what()).find(std::to_string(static_cast<int>(type))) != std::string::npos;
    }
    expect(is_refused, "the size of an unknown type");
  }
}

HALO_CHECK(codes_of_another_type_are_not_multiplied) {
  const uint8_t code = 1;
  const float scale = 1;
  float y = 7, decoded[2] = {};
  const Status status = scaled_mat_mul_cpu({&code, &scale, DType::kInt8}, {&code, &scale, DType::kUInt8}, &y, false, false, 1, 1, 1, decoded, PlainProducts(),
                                           ThreadedExecutor());
  expect_refused(status, y == 7 ? 0 : 1, "found uint8", "product");
}

}  // namespace halo::check
