using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Tests.Numerics;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

public class FunctionBodyTests
{
    /// <summary>What small cases give at the lowest opset.</summary>
    private static readonly Lazy<IReadOnlyList<(OpCall Call, float[] Expected)>> SmallCases = new(() =>
    [
        .. OpCase.All.SelectMany(op => op.Calls(new Random(1))).Where(call => call.Inputs.Sum(x => x.Elements.Length) is > 20 and < 400)
            .Select(call => (call, OpRunner.Run(call.Inputs, call.Build, opset: HaloDomain.MinOpset).SelectMany(y => y.Elements).ToArray())),
    ]);

    public static TheoryData<int, long> Rotations { get; } = new()
    {
        { 0, 1 }, { 1, 3 }, { 0, 19 }, { 0, 72 }, { 1, 64 }, { 1, 96 }, { 1, 172 }, { 0, 172 }, { 1, 448 }, { 0, 448 }, { 1, 704 },
        { 0, 704 }, { 0, 2048 }, { 1, 4864 },
    };

    [Theory]
    [MemberData(nameof(Rotations))]
    public void The_inverse_undoes_a_rotation(int axis, long n)
    {
        var x = axis == 1 ? HostTensor.Normal(new Random(1), 6, n) : HostTensor.Normal(new Random(1), n, 6);
        var blocks = Hadamard.Blocks(n, 1024);
        var y = OpRunner.Run([x], (build, inputs) =>
            [build.HadamardTransform(build.HadamardTransform(inputs[0], axis, blocks, false, "there"), axis, blocks, true, "back")])[0];
        var error = Math.Sqrt(x.Elements.Zip(y.Elements, (a, b) => Math.Pow(a - (double)b, 2)).Sum() / x.Elements.Sum(a => (double)a * a));
        Assert.True(error <= Tolerances.OneOperator, $"relative error {error:E2}");
    }

    [Fact]
    public void Rotating_both_operands_along_the_contracted_axis_keeps_the_product()
    {
        var (x, w) = (HostTensor.Normal(new Random(1), 8, 704), HostTensor.Normal(new Random(2), 16, 704));
        HostTensor Product(bool rotate) => OpRunner.Run([x, w], (build, inputs) =>
        {
            var operands = rotate ? inputs.Select((v, i) => build.HadamardTransform(v, 1, [704], false, $"rotate{i}")).ToArray() : inputs;
            var y = build.Op("y", "Gemm", [operands[0], operands[1]], Attribute.Of("transB", 1L));
            (y.Type, y.Shape) = (ElementType.Float, Shape.Of(8, 16));
            return [y];
        })[0];
        Assert.All(Product(false).Elements.Zip(Product(true).Elements), pair => Assert.Equal(pair.First, pair.Second, Tolerances.RotatedProduct));
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    [InlineData(23)]
    [InlineData(24)]
    [InlineData(25)]
    [InlineData(26)]
    public void Bodies_mean_the_same_at_every_opset(long opset)
    {
        var (x, w) = (HostTensor.Normal(new Random(1), 19, 704), HostTensor.Normal(new Random(2), 16, 704));
        HostTensor[] Products(long opset) => OpRunner.Run([x, w], (build, inputs) =>
        [
            .. NumberFormat.All.Select(format =>
            {
                var ((a, scaleA), (b, scaleB)) = (Quantized(inputs[0], "a"), Quantized(inputs[1], "b"));
                var y = build.ScaledMatMul(a, scaleA, b, scaleB, false, true, $"{format}");
                return build.HadamardTransform(y, 0, Hadamard.Blocks(19), true, $"{format}/back");

                (Value, Value) Quantized(Value value, string name) =>
                    build.Quantize(build.HadamardTransform(value, 1, [704], false, $"{format}/{name}/rotate"), format, $"{format}/{name}");
            }),
        ], opset: opset);
        Assert.Equal(Products(21).SelectMany(y => y.Elements), Products(opset).SelectMany(y => y.Elements));
    }

    [Theory]
    [InlineData(22)]
    [InlineData(23)]
    [InlineData(24)]
    [InlineData(25)]
    [InlineData(26)]
    public void Bodies_of_small_cases_mean_the_same_at_every_opset(long opset)
    {
        foreach (var (call, expected) in SmallCases.Value)
            Assert.Equal(expected, OpRunner.Run(call.Inputs, call.Build, opset: opset).SelectMany(y => y.Elements));
    }

    public static IEnumerable<object[]> Bad =>
        from format in NumberFormat.All
        from bad in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity }
        select new object[] { format.Name, bad };

    [Theory]
    [MemberData(nameof(Bad))]
    public void A_value_that_is_not_finite_reaches_the_product(string format, float bad)
    {
        foreach (var level in new[] { GraphOptimizationLevel.ORT_DISABLE_ALL, GraphOptimizationLevel.ORT_ENABLE_ALL })
            foreach (var at in new[] { 0, 1, 17, 1000, 33 * 64 - 1 })
            {
                var (x, w) = (HostTensor.Normal(new Random(1), 33, 64), HostTensor.Normal(new Random(2), 16, 64));
                x.Elements[at] = bad;
                var y = OpRunner.Run([x, w], (build, inputs) =>
                {
                    var (a, scaleA) = build.Quantize(inputs[0], NumberFormat.Parse(format)!, "a");
                    var (b, scaleB) = build.Quantize(inputs[1], NumberFormat.Parse(format)!, "b");
                    return [build.ScaledMatMul(a, scaleA, b, scaleB, false, true, "product")];
                }, level)[0];
                Assert.Contains(y.Elements, v => !float.IsFinite(v));
            }
    }

    [Fact]
    public void Calls_of_one_overload_share_one_function()
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = 21 }, IrVersion = 8 };
        var build = GraphBuilder.AtEnd(model.Graph);
        var x = model.Graph.AddInput(new Value("x", ElementType.Float, Shape.Of(8, 8)));
        var rotated = build.HadamardTransform(x, 0, [8], false, "a");
        build.Quantize(build.HadamardTransform(rotated, 0, [8], false, "b"), NumberFormat.E4M3, "q");
        Assert.Equal(["HadamardTransform:axis0_8", "Quantize:e4m3"], model.Functions.Select(f => $"{f.Name}:{f.Overload}"));
        Assert.Equal(10, model.IrVersion);
        Assert.Equal(1, model.Opsets["com.halo"]);
    }

    [Fact]
    public void Overload_names_tell_bodies_apart()
    {
        Assert.Equal("axis1_704", HadamardTransform.Overload(1, [704], false, ElementType.Float));
        Assert.Equal("axis0_1024x2", HadamardTransform.Overload(0, [1024, 1024], false, ElementType.Float));
        Assert.Equal("axis0_16_2_1_inverse_bfloat16", HadamardTransform.Overload(0, [16, 2, 1], true, ElementType.BFloat16));
        Assert.Equal("e3m2_float16", Quantize.Overload(NumberFormat.E3M2, ElementType.Float16));
    }

    [Fact]
    public void What_cannot_run_is_refused()
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = 20 } };
        var build = GraphBuilder.AtEnd(model.Graph);
        var x = model.Graph.AddInput(new Value("x", ElementType.Float, Shape.Of(8, 8)));
        Assert.Contains("opset 20", Assert.Throws<HaloException>(() => build.Quantize(x, NumberFormat.Int8, "q")).Message);
        model.Opsets[""] = 21;
        Assert.Contains("[8, 8]", Assert.Throws<HaloException>(() => build.HadamardTransform(x, 1, [4], false, "h")).Message);
        Assert.Contains("[19]", Assert.Throws<HaloException>(() => build.HadamardTransform(x, 1, [19], false, "h")).Message);
        var ids = model.Graph.AddInput(new Value("ids", ElementType.Int64, Shape.Of(8)));
        Assert.Contains("int64", Assert.Throws<HaloException>(() => build.Quantize(ids, NumberFormat.Int8, "q")).Message);
    }

    [Theory]
    [InlineData("fp8", "e4m3")]
    [InlineData("fp6", "e3m2")]
    [InlineData("int8", "int8")]
    [InlineData("e5m2", "e5m2")]
    [InlineData("none", null)]
    public void Format_names_are_read(string text, string? name) => Assert.Equal(name, NumberFormat.Parse(text)?.Name);

    [Fact]
    public void An_unknown_format_is_refused() => Assert.Contains("'fp4'", Assert.Throws<HaloException>(() => NumberFormat.Parse("fp4")).Message);

    [Fact]
    public void Every_fp6_value_is_an_e4m3_value()
    {
        var e4m3 = CodeTable.Of(NumberFormat.E4M3).Entries.Select(e => e.Value).ToHashSet();
        var e3m2 = CodeTable.Of(NumberFormat.E3M2).Entries.Select(e => e.Value).ToArray();
        Assert.Equal(63, e3m2.Length);
        Assert.All(e3m2, value => Assert.Contains(value, e4m3));
    }
}
