#include "ops/binding.h"
#include "ops/host_copies/host_copies.h"

namespace halo {

namespace {

constexpr const char* kType = "T: float, float16, bfloat16, int8, float8e4m3fn, float8e5m2";

int64_t bytes_of(const TensorType& x) { return x.shape.count() * size_of(x.type); }

}  // namespace

/// Starts a copy of an input to the output: on a GPU on the stream of such copies, on the CPU at once.
template <int kFrom>
struct CopyStart {
  static constexpr bool kOwnProviderOnly = true;  // copies run beside HaloCuda's stream

  explicit CopyStart(const Attributes&) {}

  Status compute(Call& c) const {
    host_copy_cpu(c.data<char>(kFrom), c.result<char>(0), bytes_of(c.in(kFrom)));
    return {};
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const { return c.device().host_copies().start(c.data(kFrom), c.result(0), bytes_of(c.in(kFrom)), c.stream()); }
#endif
};

struct OffloadStart : CopyStart<1> {
  static constexpr Schema schema{.name = "OffloadStart", .in = "Into: T, X: T", .out = "Y: T", .types = kType};
  static constexpr bool kAliasesFirstInput = true;

  using CopyStart::CopyStart;

  Status infer(Types in, ResultTypes out) const {
    HALO_REQUIRE(in[0].type == in[1].type && in[0].shape.may_equal(in[1].shape), "room for X, " << in[1].type << in[1].shape, in[0].type << in[0].shape,
                 "Offload the graph again.");
    out[0] = in[0];
    return {};
  }
};

struct FetchStart : CopyStart<0> {
  static constexpr Schema schema{.name = "FetchStart", .in = "X: T", .out = "Y: T", .types = kType};

  using CopyStart::CopyStart;

  Status infer(Types in, ResultTypes out) const {
    out[0] = in[0];
    return {};
  }
};

struct CopyWait {
  static constexpr Schema schema{.name = "CopyWait",
                                 .in = "Y: T, after...?: A",
                                 .out = "Z: T",
                                 .types =
                                     "T: float, float16, bfloat16, int8, float8e4m3fn, float8e5m2; A: float, float16, bfloat16, int8, float8e4m3fn, "
                                     "float8e5m2"};
  static constexpr bool kAliasesFirstInput = true;
  static constexpr bool kOwnProviderOnly = true;

  explicit CopyWait(const Attributes&) {}

  Status infer(Types in, ResultTypes out) const {
    out[0] = in[0];
    return {};
  }

  Status compute(Call& c) const {
    host_copy_cpu(c.data<char>(0), c.result<char>(0), bytes_of(c.in(0)));
    return {};
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const void* y = c.data(0);
    HALO_RETURN_IF_ERROR(c.device().host_copies().wait(y, c.stream()));
    void* z = c.result(0);
    return y == z ? Status() : HALO_CUDA_STATUS(cudaMemcpyAsync(z, y, static_cast<size_t>(bytes_of(c.in(0))), cuda::kWhereverTheyLie, c.stream()));
  }
#endif
};

HALO_REGISTER_OP(OffloadStart);
HALO_REGISTER_OP(FetchStart);
HALO_REGISTER_OP(CopyWait);

}  // namespace halo
