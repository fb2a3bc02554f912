using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Benchmarks;

/// <summary>Times each operator of com.halo by its native kernel and by its function body, in a graph of its own.</summary>
/// <remarks>
/// The sizes are those of llama-tiny's training graph, 8 x 256 tokens. Times are ONNX Runtime's own of each node, so that what feeds an operator
/// does not count.
/// </remarks>
public sealed class OperatorBenchmark(int threads, int rounds)
{
    private const int Tokens = 2048, Hidden = 256, Ffn = 704, Vocabulary = 2048, Batch = 8, Heads = 4, Groups = 2, Sequence = 256, Dim = 64;
    private const int WarmUp = 3;
    private const string QuantizeName = "Quantize", HeadsShape = "8 x 4 x 256 x 64";

    /// <summary>Of a product of queries and keys, half a square of scores: a query sees no later key.</summary>
    private const double ScoreOperations = 2.0 * Batch * Heads * Sequence * Sequence * Dim / 2;

    /// <param name="Kernel">As in the table.</param>
    /// <param name="Type">Of its elements, or the format of its codes.</param>
    /// <param name="Shape">Of its largest operand.</param>
    /// <param name="Work">Bytes that it reads and writes, once each; of products their operations.</param>
    /// <param name="Build">Makes the node over the inputs it adds.</param>
    private sealed record Entry(string Kernel, string Type, string Shape, Work Work, Func<Inputs, IReadOnlyList<Value>> Build);

    private readonly record struct Work(double Bytes = 0, double Operations = 0)
    {
        /// <summary>Float32 tensors of so many elements.</summary>
        public static Work Tensors(int count, long elements) => new(Bytes: 4.0 * count * elements);
    }

    /// <summary>What an entry builds with.</summary>
    private sealed class Inputs
    {
        public Inputs() => Build = GraphBuilder.AtEnd(Model.Graph);

        public Model Model { get; } = new(new Graph("operator"), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };

        public GraphBuilder Build { get; }

        public Value Floats(params long[] sizes) => Add(ElementType.Float, sizes);

        public Value Integers(params long[] sizes) => Add(ElementType.Int64, sizes);

        /// <summary>Codes and scale as constants: C# has no type for float8 inputs.</summary>
        public (Value Codes, Value Scale) Codes(NumberFormat format, params long[] sizes)
        {
            var bytes = new byte[sizes.Aggregate(1L, (a, b) => a * b)];
            for (var i = 0; i < bytes.Length; i++)
                bytes[i] = (byte)(0x30 + i * 7919 % 12);
            var name = $"codes{Model.Graph.Nodes.Count()}";
            var codes = Build.Op(name, "Constant", [], Attribute.Of("value", Halo.Ir.Tensor.Of<byte>(format.CodeType, sizes, bytes)));
            (codes.Type, codes.Shape) = (format.CodeType, Shape.Of(sizes));
            return (codes, Build.Op(name + "/scale", "Constant", [], Attribute.Of("value", Halo.Ir.Tensor.Scalar(0.01f))));
        }

        private Value Add(ElementType type, long[] sizes) => Model.Graph.AddInput(new Value($"x{Model.Graph.Inputs.Count}", type, Shape.Of(sizes)));
    }

    private static readonly IReadOnlyList<Entry> Entries =
    [
        new("HadamardTransform axis 1, 256", "float", "2048 x 256", Work.Tensors(2, Tokens * Hidden),
            x => [x.Build.HadamardTransform(x.Floats(Tokens, Hidden), 1, Hadamard.Blocks(Hidden), false, "y")]),
        new("HadamardTransform axis 1, 704", "float", "2048 x 704", Work.Tensors(2, Tokens * Ffn),
            x => [x.Build.HadamardTransform(x.Floats(Tokens, Ffn), 1, Hadamard.Blocks(Ffn), false, "y")]),
        new("HadamardTransform axis 0, 1024 twice", "float", "2048 x 704", Work.Tensors(2, Tokens * Ffn),
            x => [x.Build.HadamardTransform(x.Floats(Tokens, Ffn), 0, Hadamard.Blocks(Tokens, 1024), false, "y")]),
        .. NumberFormat.All.Select(format => new Entry(QuantizeName, $"{format}", "2048 x 704", new Work(Bytes: 9.0 * Tokens * Ffn), x =>
        {
            var (codes, scale) = x.Build.Quantize(x.Floats(Tokens, Ffn), format, "q");
            return [scale, x.Build.Op("codes", "Cast", [codes], Attribute.Of("to", (long)ElementType.Float))];
        })),
        .. new[] { NumberFormat.E4M3, NumberFormat.Int8 }.Select(format => new Entry("ScaledMatMul A B^T", $"{format}", "2048 x 704 x 256",
            new Work(Operations: 2.0 * Tokens * Ffn * Hidden), x =>
        {
            var ((a, scaleA), (b, scaleB)) = (x.Codes(format, Tokens, Hidden), x.Codes(format, Ffn, Hidden));
            return [x.Build.ScaledMatMul(a, scaleA, b, scaleB, false, true, "y")];
        })),
        new("RmsNorm", "float", "2048 x 256", Work.Tensors(2, Tokens * Hidden), x =>
        {
            var (y, invRms) = x.Build.RmsNorm(x.Floats(Tokens, Hidden), x.Floats(Hidden), 1e-5f, "y");
            return [y, invRms];
        }),
        new("RmsNormGrad", "float", "2048 x 256", Work.Tensors(3, Tokens * Hidden), x =>
        {
            var (dx, dWeight) = x.Build.RmsNormGrad(x.Floats(Tokens, Hidden), x.Floats(Tokens, Hidden), x.Floats(Hidden), x.Floats(Tokens), "y");
            return [dx, dWeight];
        }),
        new("SwiGlu", "float", "2048 x 704", Work.Tensors(3, Tokens * Ffn),
            x => [x.Build.SwiGlu(x.Floats(Tokens, Ffn), x.Floats(Tokens, Ffn), "y")]),
        new("SwiGluGrad", "float", "2048 x 704", Work.Tensors(5, Tokens * Ffn), x =>
        {
            var (dGate, dUp) = x.Build.SwiGluGrad(x.Floats(Tokens, Ffn), x.Floats(Tokens, Ffn), x.Floats(Tokens, Ffn), "y");
            return [dGate, dUp];
        }),
        new("RotaryEmbedding", "float", HeadsShape, Work.Tensors(2, Tokens * Hidden),
            x => [x.Build.RotaryEmbedding(Q(x), x.Floats(Sequence, Dim / 2), x.Floats(Sequence, Dim / 2), null, false, "y")]),
        new("Attention", "float", HeadsShape + ", 2 groups", new Work(Operations: 2 * ScoreOperations), x =>
        {
            var (y, logSumExp) = x.Build.Attention(Q(x), KV(x), KV(x), x.Integers(Batch, Sequence), null, true, 0, "y");
            return [y, logSumExp];
        }),
        new("AttentionGrad", "float", HeadsShape + ", 2 groups", new Work(Operations: 5 * ScoreOperations), x =>
        {
            var (dy, q, k, v, y) = (Q(x), Q(x), KV(x), KV(x), Q(x));
            var gradients = x.Build.AttentionGrad(dy, q, k, v, y, x.Floats(Batch, Heads, Sequence), x.Integers(Batch, Sequence), null, true, 0, "g");
            return [gradients.Q, gradients.K, gradients.V];
        }),
        new("CrossEntropy", "float", "2048 x 2048", Work.Tensors(1, Tokens * Vocabulary), x =>
        {
            var (loss, logSumExp) = x.Build.CrossEntropy(x.Floats(Tokens, Vocabulary), x.Integers(Tokens), "y");
            return [loss, logSumExp];
        }),
        new("CrossEntropyGrad", "float", "2048 x 2048", Work.Tensors(2, Tokens * Vocabulary),
            x => [x.Build.CrossEntropyGrad(x.Floats(), x.Floats(Tokens, Vocabulary), x.Integers(Tokens), x.Floats(Tokens), "y")]),
        new("EmbeddingGrad", "float", "2048 x 256 into 2048", Work.Tensors(2, Tokens * Hidden),
            x => [x.Build.EmbeddingGrad(x.Floats(Tokens, Hidden), x.Integers(Tokens), Vocabulary, ElementType.Float, "y")]),
    ];

    private static Value Q(Inputs x) => x.Floats(Batch, Heads, Sequence, Dim);

    private static Value KV(Inputs x) => x.Floats(Batch, Groups, Sequence, Dim);

    /// <summary>Each operator by its native kernel and by its function body.</summary>
    /// <param name="part">Of "kernel type" of those to time.</param>
    /// <param name="copyRate">Bytes a second of a copy, read and written.</param>
    /// <param name="productRate">Operations a second of a bare product.</param>
    public IEnumerable<KernelTime> Run(string part, double copyRate, double productRate)
    {
        foreach (var entry in Entries.Where(e => $"{e.Kernel} {e.Type}".Contains(part, StringComparison.Ordinal)))
        {
            var (native, body) = (Time(entry, OperatorKernels.Native), Time(entry, OperatorKernels.Functions));
            var rate = (entry.Work.Bytes + entry.Work.Operations) / native * 1e3;
            var time = new KernelTime(entry.Kernel, entry.Type, entry.Shape, native, BodyMilliseconds: body);
            yield return entry.Work.Bytes > 0 ? time with { GigabytesPerSecond = rate / 1e9, OfCopy = rate / copyRate }
                : time with { TeraflopsPerSecond = rate / 1e12, OfProducts = rate / productRate };
        }
    }

    private double Time(Entry entry, OperatorKernels kernels)
    {
        var inputs = new Inputs();
        foreach (var output in entry.Build(inputs))
            inputs.Model.Graph.AddOutput(output);
        var folder = Directory.CreateTempSubdirectory("halo-bench-").FullName;
        try
        {
            using var session = new GraphSession("operator", OnnxWriter.ToBytes(inputs.Model), new SessionSettings
            {
                Threads = threads,
                Operators = kernels,
                Optimization = GraphOptimizationLevel.ORT_DISABLE_ALL,
                ProfilePrefix = Path.Combine(folder, "profile"),
            });
            var random = new Random(1);
            foreach (var (name, metadata) in session.Inputs)
            {
                var value = GraphSession.Allocate(metadata);
                if (metadata.ElementType == typeof(float))
                {
                    foreach (ref var element in value.GetTensorMutableDataAsSpan<float>())
                        element = (float)(random.NextDouble() - 0.5);
                }
                else
                {
                    value.GetTensorMutableDataAsSpan<long>().Fill(1); // a label, or a token that is there
                }
                session.BindInput(name, value);
            }
            foreach (var (name, metadata) in session.Outputs)
                session.BindOutput(name, GraphSession.Allocate(metadata));
            for (var round = 0; round < WarmUp + rounds; round++)
                session.Run();
            // The cast behind Quantize takes codes over the border to C#, and constants feed ScaledMatMul: neither is the operator's.
            var isQuantize = entry.Kernel == QuantizeName;
            return StepProfile.Read(session.EndProfiling(), WarmUp).Milliseconds
                .Where(t => t.Operator != "Constant" && !(isQuantize && t.Operator == "Cast")).Sum(t => t.Milliseconds);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
