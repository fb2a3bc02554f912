using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

/// <summary>Native kernel and function body on equal inputs, and what the library does as a whole.</summary>
public class NativeKernelTests
{
    public static TheoryData<string> Formats => [.. NumberFormat.All.Select(format => format.Name)];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Codes_of_rotated_tensors_are_those_of_the_function_bodies(string format)
    {
        var x = HostTensor.Normal(new Random(1), 640, 704);
        x.Elements[12345] = 30; // an outlier
        HostTensor[] Run(OperatorKernels kernels) => OpRunner.Run([x], (build, inputs) =>
        {
            var (codes, scale) = build.Quantize(build.HadamardTransform(inputs[0], 1, [704], false, "rotate"), NumberFormat.Parse(format)!, "q");
            return [codes, scale];
        }, kernels: kernels);
        var (body, native) = (Run(OperatorKernels.Functions), Run(OperatorKernels.Native));
        Assert.Equal(body[1].Elements[0], native[1].Elements[0], body[1].Elements[0] * (float)Tolerances.OneOperator);
        AreEqualButAtTies(format, body[0], native[0], Tolerances.TiesOfRotated);
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Codes_of_equal_tensors_are_equal_but_at_ties(string format)
    {
        var x = HostTensor.Normal(new Random(2), 1000, 704);
        HostTensor[] Run(OperatorKernels kernels) => OpRunner.Run([x], (build, inputs) =>
        {
            var (codes, scale) = build.Quantize(inputs[0], NumberFormat.Parse(format)!, "q");
            return [codes, scale];
        }, kernels: kernels);
        var (body, native) = (Run(OperatorKernels.Functions), Run(OperatorKernels.Native));
        Assert.Equal(body[1].Elements, native[1].Elements);
        AreEqualButAtTies(format, body[0], native[0], Tolerances.Ties);
    }

    private static void AreEqualButAtTies(string format, HostTensor expected, HostTensor found, double ties)
    {
        var values = CodeTable.Of(NumberFormat.Parse(format)!).Entries.Select(e => e.Value).ToArray();
        int Place(float value) => Array.BinarySearch(values, value) is >= 0 and var place ? place
            : throw new ArgumentException($"{value} is no code of {format}");
        var different = Enumerable.Range(0, expected.Elements.Length).Where(i => expected.Elements[i] != found.Elements[i]).ToList();
        Assert.All(different, i => Assert.Equal(1, Math.Abs(Place(expected.Elements[i]) - Place(found.Elements[i]))));
        Assert.InRange(different.Count, 0, (int)(ties * expected.Elements.Length));
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Every_bfloat16_is_rounded_to_the_nearest_code(string formatName)
    {
        // In groups of sixteen binades, so that one scale does not push most of them to zero.
        var format = NumberFormat.Parse(formatName)!;
        foreach (var group in Enumerable.Range(0, 65536).Select(bits => BitConverter.UInt32BitsToSingle((uint)bits << 16)).Where(float.IsFinite)
            .GroupBy(x => ((BitConverter.SingleToUInt32Bits(x) >> 23) & 0xFF) / 16))
        {
            var x = new HostTensor([group.Count()], [.. group]);
            var (values, scale) = CodeTable.Quantize(format, x.Elements);
            foreach (var kernels in Enum.GetValues<OperatorKernels>())
            {
                var found = OpRunner.Run([x], (build, inputs) =>
                {
                    var (codes, scale) = build.Quantize(OpCase.Cast(build, inputs[0], ElementType.BFloat16, "cast"), format, "q");
                    return [codes, scale];
                }, kernels: kernels);
                Assert.Equal(scale, found[1].Elements[0]);
                Assert.Equal(values, found[0].Elements.Select(v => (double)v));
            }
        }
    }

    [Theory]
    [InlineData("e4m3", 704)]
    [InlineData("e5m2", 704)]
    [InlineData("int8", 1024)]
    [InlineData("e3m2", 2048)]
    public void Products_of_equal_codes_are_those_of_the_function_body(string format, long k)
    {
        var (x, w) = (HostTensor.Normal(new Random(1), 96, k), HostTensor.Normal(new Random(2), 72, k));
        HostTensor Run(OperatorKernels kernels) => OpRunner.Run([x, w], (build, inputs) =>
        {
            var (a, scaleA) = build.Quantize(inputs[0], NumberFormat.Parse(format)!, "a");
            var (b, scaleB) = build.Quantize(inputs[1], NumberFormat.Parse(format)!, "b");
            return [build.ScaledMatMul(a, scaleA, b, scaleB, false, true, "product")];
        }, kernels: kernels)[0];
        var (body, native) = (Run(OperatorKernels.Functions), Run(OperatorKernels.Native));
        Assert.True(Numerics.RelativeError.Of(native.Elements, body.Elements) <= Tolerances.OneOperator);
    }

    [Fact]
    public void Results_do_not_depend_on_the_number_of_threads()
    {
        var x = HostTensor.Normal(new Random(1), 300, 704);
        HostTensor[] Run(int threads) => OpRunner.Run([x], (build, inputs) =>
        [
            .. NumberFormat.All.SelectMany(format =>
            {
                var rotated = build.HadamardTransform(inputs[0], 0, Hadamard.Blocks(300), false, $"{format}/rotate");
                var (codes, scale) = build.Quantize(rotated, format, $"{format}/q");
                return new[] { rotated, codes, scale };
            }),
        ], kernels: OperatorKernels.Native, threads: threads);
        Assert.Equal(Run(1).SelectMany(y => y.Elements), Run(3).SelectMany(y => y.Elements));
    }

    [Fact]
    public void The_library_runs_a_model_without_function_bodies_and_wins_over_a_body()
    {
        var graph = new Graph();
        var model = new Model(graph, HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var x = graph.AddInput(new Value("x", ElementType.Float, Shape.Of(2, 4)));
        graph.AddOutput(GraphBuilder.AtEnd(graph).HadamardTransform(x, 1, [4], false, "y"));
        var wrong = new FunctionBody("X") { AttributeNames = ["axis", "blocks", "inverse"] };
        var function = model.Functions.Single();
        Assert.Equal([1, 1, 1, 1], Run()); // the bodies' meaning
        model.RemoveFunction(function);
        Assert.Equal([1, 1, 1, 1], Run());
        var negative = wrong.Output("Y", wrong.Op("negative", "Neg", [wrong.Input(0)])).Graph;
        model.AddFunction(new Function(function.Domain, function.Name, function.Overload, negative)
        {
            AttributeNames = function.AttributeNames,
            Opsets = new(StringComparer.Ordinal) { [""] = HaloDomain.MinOpset },
        });
        Assert.Equal([1, 1, 1, 1], Run());

        float[] Run()
        {
            using var options = new SessionSettings().ToOptions();
            using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
            using var input = OrtValue.CreateTensorValueFromMemory([2f, 0, 0, 0, 2, 0, 0, 0], [2, 4]);
            using var run = new RunOptions();
            using var results = session.Run(run, ["x"], [input], session.OutputNames);
            return results[0].GetTensorDataAsSpan<float>()[..4].ToArray();
        }
    }

    [Fact]
    public void What_a_kernel_refuses_names_operator_expectation_and_advice()
    {
        var graph = new Graph();
        var model = new Model(graph, HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var x = graph.AddInput(new Value("x", ElementType.Float, Shape.Of(2, 4)));
        var y = GraphBuilder.AtEnd(graph).HadamardTransform(x, 1, [4], false, "y");
        graph.AddOutput(y);
        y.Producer!.With(Attribute.Of("blocks", [2L, 1L]));
        using var options = new SessionSettings().ToOptions();
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        using var input = OrtValue.CreateTensorValueFromMemory(new float[8], [2, 4]);
        using var run = new RunOptions();
        var message = Assert.Throws<OnnxRuntimeException>(() => session.Run(run, ["x"], [input], session.OutputNames)).Message;
        Assert.Contains("HadamardTransform: expected blocks that sum to the rotated axis of [2, 4], found 3. Rewrite the graph at this size.", message,
            StringComparison.Ordinal);
    }
}
