// Entry points that ONNX Runtime and the tests call. Operators register themselves; none is listed here.
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <string>

#include "plugin/op.h"

namespace halo {

namespace {

/// The kernels are compiled for x86-64-v3, this file is not.
Status check_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  HALO_REQUIRE(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"), "a processor with AVX2, FMA and F16C",
               "one without", "Run with the operators' function bodies: --operators functions.");
#endif
  return {};
}

OrtCustomOpDomain* domain() {
  static OrtCustomOpDomain* const made = [] {
    OrtCustomOpDomain* domain = nullptr;
    check(ort->CreateCustomOpDomain("com.halo", &domain));
    for (const OpEntry& entry : registry()) {
      check(ort->CustomOpDomain_Add(domain, entry.op));
      if (entry.on_cuda != nullptr) check(ort->CustomOpDomain_Add(domain, entry.on_cuda));  // left alone by sessions without that provider
    }
    return domain;
  }();
  return made;
}

}  // namespace

}  // namespace halo

extern "C" {

/// Adds the operators of com.halo to a session's options.
__attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    const std::string message = "com.halo: expected ONNX Runtime with API " + std::to_string(ORT_API_VERSION) + " or later, found " + base->GetVersionString() +
                                ". Build the library against the headers of that version.";
    return base->GetApi(1)->CreateStatus(ORT_NOT_IMPLEMENTED, message.c_str());
  }
  halo::ort = api;
  return halo::guarded("library", [&] {
    HALO_RETURN_IF_ERROR(halo::check_processor());
    halo::check(api->AddCustomOpDomain(options, halo::domain()));
    return halo::Status();
  });
}

/// One line an operator, sorted: "Name(X: T) -> Y: T; T: float, bfloat16".
__attribute__((visibility("default"))) const char* HaloSchemas() {
  static const std::string text = [] {
    std::vector<std::string> lines;
    for (const halo::OpEntry& entry : halo::registry()) {
      const halo::Schema& schema = *entry.schema;
      lines.push_back(std::string(schema.name) + "(" + schema.in + ") -> " + schema.out + "; " + schema.types);
    }
    std::sort(lines.begin(), lines.end());
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  }();
  return text.c_str();
}
}
