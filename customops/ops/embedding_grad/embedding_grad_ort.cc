#include "ops/embedding_grad/embedding_grad.h"

#include "ops/binding.h"

namespace halo {

struct EmbeddingGrad {
  static constexpr Schema schema{
      .name = "EmbeddingGrad", .in = "dY: T, ids: I", .out = "dWeight: R", .types = "T: float, float16, bfloat16; I: int64; R: float, float16, bfloat16"};

  explicit EmbeddingGrad(const Attributes& attributes)
      : table{.first = attributes.integer("first", 0), .rows = attributes.integer("rows", 0), .of = attributes.integer("of", attributes.integer("rows", 0))},
        to(static_cast<DType>(attributes.integer("to", static_cast<int64_t>(DType::kFloat)))) {}

  Status infer(Types in, ResultTypes out) const {
    const Shape &dy = in[0].shape, &ids = in[1].shape;
    HALO_REQUIRE(dy.rank() == 2, "dY (N, C)", dy, "Reshape it to rows.");
    HALO_REQUIRE(ids.may_equal({dy[0]}), "ids [" << dy[0] << "], one for each row of dY " << dy, ids, "Reshape them to one axis.");
    HALO_REQUIRE(to == DType::kFloat || to == in[0].type, "a gradient in float or " << name_of(in[0].type) << ", the type of dY", to, "Cast dY before.");
    HALO_REQUIRE(table.first >= 0 && table.first + table.rows <= table.of, "rows of a table of " << table.of, table.rows << " from " << table.first << " on",
                 "Shard the graph again.");
    out[0] = {.type = to, .shape = {table.rows, dy[1]}};
    return {};
  }

  Status compute(Call& c) const {
    const int64_t count = c.in(0).shape[0], columns = c.in(0).shape[1];
    return dispatch(c.in(0).type, [&]<class T>() {
      if (to == DType::kFloat) return embedding_grad_cpu(c.data<T>(0), c.data<int64_t>(1), c.result<float>(0), count, columns, table, c);
      return embedding_grad_cpu(c.data<T>(0), c.data<int64_t>(1), c.result<T>(0), count, columns, table, c);
    });
  }

#ifdef HALO_CUDA
  Status compute_cuda(cuda::OpLaunch& c) const {
    const int64_t count = c.in(0).shape[0], columns = c.in(0).shape[1];
    HALO_WORKSPACE(work, c, embedding_grad_workspace_cuda(count, columns));
    return embedding_grad_cuda(c.in(0).type, to, c.data(0), c.data<int64_t>(1), c.result(0), count, columns, table, work.data(), c.stream());
  }
#endif

  TableRows table;
  DType to;
};

HALO_REGISTER_OP(EmbeddingGrad);

}  // namespace halo
