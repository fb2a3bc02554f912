using Halo.Building;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;

namespace Halo.Runner.Generation;

/// <summary>
/// How many tokens stand before the last one of each row, which an inference graph counts in its mask: made an input, with the number of the next step as an output,
/// so that steps on a GPU count on without the host.
/// </summary>
/// <remarks>
/// seqlens_k of GroupQueryAttention, Cast(ReduceSum(attention_mask) - 1), as cache-attention writes it; a graph that counts otherwise stays as it is.
/// </remarks>
internal static class GivenLengths
{
    /// <summary>int32 (B): tokens of a row, less one.</summary>
    public const string Last = "last_positions";

    /// <summary>int32 (B): one more.</summary>
    public const string Next = "next_positions";

    /// <summary>Changes the session's copy of a graph, if it counts as it is known to.</summary>
    public static void AddTo(Model model)
    {
        var graph = model.Graph;
        var lengths = graph.Nodes.Where(n => n.Is("GroupQueryAttention", "com.microsoft")).Select(n => n.Input(5)).Distinct().ToList();
        if (lengths is not [{ } counted] || !IsCounted(counted) || graph.Values.ContainsKey(Last) || graph.Values.ContainsKey(Next))
            return;
        var input = graph.AddInput(new Value(Last, counted.Type, counted.Shape));
        counted.ReplaceUsesWith(input);
        var build = GraphBuilder.AfterDefinition(graph, input, "");
        graph.AddOutput(build.Op(Next, "Add", [input, build.Constant("positions/one", Tensor.Of<int>(ElementType.Int32, [1], [1]))]));
        PassManager.Run(model, [new RemoveDeadCode()], new PassOptions());
    }

    /// <summary>Of rows whose masks these are, (B, width).</summary>
    public static int[] Of(ReadOnlySpan<long> mask, int rows)
    {
        var (result, width) = (new int[rows], mask.Length / rows);
        for (var row = 0; row < rows; row++)
            result[row] = mask.Slice(row * width, width).Count(1L) - 1;
        return result;
    }

    private static bool IsCounted(Value lengths) => lengths is { Type: ElementType.Int32, Producer: { } cast } && cast.Is("Cast")
        && cast.Inputs[0]!.Producer is { } less && less.Is("Sub") && less.Inputs[1]!.Integers() is [1]
        && less.Inputs[0]!.Producer is { } sum && sum.Is("ReduceSum") && sum.Int("keepdims", 1) == 0 && sum.Input(1)?.Integers() is [1]
        && sum.Inputs[0] is { IsGraphInput: true, Name: Analysis.TrainingNames.AttentionMask };
}
