using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>The nodes whose first output lies where their first input does, on the CPU and on a GPU.</summary>
internal static class ViewNodes
{
    private static readonly HashSet<string> Standard = ["Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"];

    public static bool Contain(Node node) => (node.IsStandard && Standard.Contains(node.OpType)) || node.Facts.Role is OperatorRole.Ordering
        || node.Is(nameof(BitCast), HaloDomain.Name) || node.Is(nameof(OffloadStart), HaloDomain.Name);
}
