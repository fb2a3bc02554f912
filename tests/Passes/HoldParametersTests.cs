using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Export;
using Halo.Passes.Infra;
using Halo.Serialization;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes;

public class HoldParametersTests
{
    [Fact]
    public void A_held_graph_has_the_loss_of_PyTorch()
    {
        const string Name = "llama2-mha";
        var model = LlamaGraph.Build(DecoderConfig.Load(ExportFixture.Folder(Name)), (int)ForwardExports.Rows, (int)ForwardExports.Tokens);
        Hold(model, ForwardExports.Checkpoint(Name));
        Assert.All(model.Graph.Inputs, i => Assert.Equal(ElementType.Int64, i.Type));
        var expected = ForwardExports.Expected(Name)["loss"][0];
        Assert.Equal(expected, ForwardExports.Step(Name, model)["loss"][0], Tolerances.OtherOperators * expected);
    }

    /// <summary>Rounding is that of the plain conversion of one value; chunks that end anywhere change nothing.</summary>
    [Fact]
    public void Types_are_rounded_to_nearest_even_piece_by_piece()
    {
        float[] values = [1, 1.0009765625f / 1.00048828125f, 65504, -65519, 1 + 1 / 256f, 1 + 3 / 256f, float.NaN, float.PositiveInfinity, 1e-8f, 0.1f];
        var source = new Tensor(ElementType.Float, [values.Length], new PiecewiseBytes(values, 3));
        var half = Held(source, FloatPrecision.Fp16).ToArray<Half>();
        Assert.Equal(Array.ConvertAll(values, v => BitConverter.HalfToUInt16Bits((Half)v)), Array.ConvertAll(half, BitConverter.HalfToUInt16Bits));
        var bfloat = Held(source, FloatPrecision.Bf16).ToArray<ushort>();
        Assert.Equal(Array.ConvertAll(values, FloatConversions.ToBFloat16), bfloat);
    }

    [Theory]
    [InlineData(65520f)]
    [InlineData(-1e6f)]
    public void A_value_beyond_float16_is_an_error_that_names_the_tensor(float value)
    {
        var held = Held(Tensor.Floats([3], [1, value, 2]), FloatPrecision.Fp16);
        var error = Assert.Throws<HaloException>(() => held.ToBytes());
        Assert.Contains("tensor 'w'", error.Message, StringComparison.Ordinal);
        Assert.Contains($"found {value:g7}", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Bytes that fail when they are read: the pass must not.</summary>
    [Fact]
    public void Weights_are_read_when_the_file_is_written()
    {
        var model = Graph();
        Hold(model, new() { ["w"] = new Tensor(ElementType.BFloat16, [3], new UnreadableBytes(6)) });
        using var folder = new TemporaryFolder();
        Assert.Throws<InvalidOperationException>(() => OnnxWriter.Write(model, folder["m.onnx"]));
    }

    [Fact]
    public void What_the_checkpoint_lacks_is_named()
    {
        Refused(null, "none");
        Refused(new() { ["v"] = Tensor.Floats([3], [1, 2, 3]) }, "none of the names w");
        Refused(new() { ["w"] = Tensor.Floats([4], [1, 2, 3, 4]) }, "tensor 'w': expected the sizes of the parameter, [3], found [4]");
        Refused(new() { ["w"] = Tensor.Int64s(1, 2, 3) }, "found int64");
    }

    private static void Refused(Dictionary<string, Tensor>? checkpoint, string part) =>
        Assert.Contains(part, Assert.Throws<PassException>(() => Hold(Graph(), checkpoint)).Message, StringComparison.Ordinal);

    private static Tensor Held(Tensor source, FloatPrecision type)
    {
        var model = Graph(source.Sizes[0]);
        PassManager.Run(model, [new HoldParameters(type)], new PassOptions { Checkpoint = new Dictionary<string, Tensor> { ["w"] = source } });
        return model.Graph.Values["w"].Initializer!;
    }

    private static Model Graph(long size = 3)
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        var w = model.Graph.AddInput(new Value("w", ElementType.Float, Shape.Of(size)));
        model.Graph.Append(new Node("Neg", [w], [new Value("y", ElementType.Float, Shape.Of(size))], name: "y"));
        model.Graph.AddOutput(model.Graph.Values["y"]);
        return model;
    }

    private static void Hold(Model model, Dictionary<string, Tensor>? checkpoint) =>
        PassManager.Run(model, [new HoldParameters()], new PassOptions { Checkpoint = checkpoint });

    private sealed class PiecewiseBytes(float[] values, int piece) : ITensorBytes
    {
        public long SizeBytes => 4 * values.Length;

        public void ReadChunks(ChunkReader chunk)
        {
            foreach (var part in values.Chunk(piece))
            {
                if (!chunk(System.Runtime.InteropServices.MemoryMarshal.AsBytes(part.AsSpan())))
                    return;
            }
        }
    }

    private sealed class UnreadableBytes(long size) : ITensorBytes
    {
        public long SizeBytes => size;

        public void ReadChunks(ChunkReader chunk) => throw new InvalidOperationException("read");
    }
}
