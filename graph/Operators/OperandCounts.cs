using System.Globalization;
using Halo.Ir;

namespace Halo.Operators;

/// <summary>How many operands an operator has at least [ONNX operators, opsets 13 to 24]; rules and passes read that many without looking.</summary>
internal static class OperandCounts
{
    /// <summary>Inputs that must be there, and outputs where there is more than one; an operator that is not listed has one of each.</summary>
    private const string Text = """
        Add 2, Sub 2, Mul 2, Div 2, Pow 2, Mod 2, PRelu 2, BitShift 2, BitwiseAnd 2, BitwiseOr 2, BitwiseXor 2, And 2, Or 2, Xor 2,
        Equal 2, Less 2, LessOrEqual 2, Greater 2, GreaterOrEqual 2, Where 3, CastLike 2, CumSum 2, CumProd 2, Compress 2,
        MatMul 2, Gemm 2, MatMulInteger 2, QLinearMatMul 8, Reshape 2, Unsqueeze 2, Expand 2, Tile 2, Slice 3, Pad 2, Upsample 2,
        Gather 2, GatherElements 2, GatherND 2, ScatterND 3, ScatterElements 3, TensorScatter 2, OneHot 3, TopK 2:2, Range 3,
        Constant 0, RandomUniform 0, RandomNormal 0, QuantizeLinear 2, DequantizeLinear 2, DynamicQuantizeLinear 1:3,
        LayerNormalization 2, RMSNormalization 2, SimplifiedLayerNormalization 2, SkipSimplifiedLayerNormalization 3, SoftmaxCrossEntropyLoss 2, NegativeLogLikelihoodLoss 2,
        Attention 3, RotaryEmbedding 3, FusedMatMul 2, MatMulNBits 3, GroupQueryAttention 1
        """;

    private static readonly Dictionary<string, (int Inputs, int Outputs)> Counts = Text
        .Split([',', '\n'], StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
        .Select(entry => entry.Split(' ', ':')).ToDictionary(e => e[0], e => (Number(e[1]), e.Length > 2 ? Number(e[2]) : 1));

    public static OperatorFacts With(OperatorFacts facts)
    {
        var (inputs, outputs) = Counts.GetValueOrDefault(facts.OpType, (1, 1));
        return facts with { RequiredInputs = inputs, RequiredOutputs = outputs };
    }

    /// <summary>Every node of the model, those of functions and subgraphs included, has the operands that its operator needs.</summary>
    /// <param name="model">Is not changed.</param>
    /// <param name="error">Makes the exception of what was expected and found.</param>
    public static void Check(Model model, Func<string, string, HaloException> error)
    {
        foreach (var node in model.Functions.Select(f => f.Body).Prepend(model.Graph).SelectMany(Analysis.Verifier.AllNodes))
        {
            var facts = node.Facts;
            var given = node.Inputs.TakeWhile(v => v is not null).Count();
            if (given < facts.RequiredInputs)
                throw error($"node {node} with {facts.RequiredInputs} inputs at least", given == node.Inputs.Count ? $"{given}" : $"none as input {given}");
            if (node.Outputs.Count < facts.RequiredOutputs)
                throw error($"node {node} with {facts.RequiredOutputs} outputs", $"{node.Outputs.Count}");
        }
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
