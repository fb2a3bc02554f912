using Halo.Ir;
using Halo.Memory;
using Halo.Operators;

namespace Halo.Runner.Memory;

/// <summary>What ONNX Runtime's kernels on the CPU, and those of the native library, do with memory.</summary>
public sealed class CpuKernelMemory : IKernelMemory
{
    private static readonly HashSet<string> Views = ["Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"];

    private static readonly HashSet<string> OverwriteFirst = ["Neg", "Abs", "Sqrt", "Reciprocal", "Exp", "Log", "Sigmoid", "Tanh", "Erf", "Relu", "Floor", "Ceil",
        "Not", "Clip", "Cast", "ScatterElements", "ScatterND"];

    private static readonly HashSet<string> OverwriteEither = ["Add", "Sub", "Mul", "Div"];

    public bool IsView(Node node) => (node.IsStandard && Views.Contains(node.OpType)) || node.Facts.Role is OperatorRole.Ordering;

    public IReadOnlyList<int> MayOverwrite(Node node) => !node.IsStandard ? []
        : OverwriteEither.Contains(node.OpType) ? [0, 1] : OverwriteFirst.Contains(node.OpType) ? [0] : [];

    public bool IsOnHost(Node node) => false;

    public long WorkBytes(Node node) => 0;
}
