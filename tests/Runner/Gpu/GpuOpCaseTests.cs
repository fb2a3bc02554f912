using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Tests.CustomOps;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Every case of every operator by its CUDA kernel, on an emulated GPU and on a real one.</summary>
public static class GpuOpCases
{
    private const int Seed = 20261123;

    public static TheoryData<string> Operators => [.. HaloOperators.All.Select(op => op.OpType)];

    /// <summary>Outputs against the oracles.</summary>
    public static void Check(string opType, Func<OpCall, IReadOnlyList<float[]>> run)
    {
        var problems = new List<string>();
        var calls = OpCase.All.Single(op => op.OpType == opType).Calls(new Random(Seed)).ToList();
        Assert.NotEmpty(calls);
        foreach (var call in calls)
        {
            var (expected, found) = (call.Oracle(), run(call));
            Assert.Equal(expected.Select(e => e.Elements.Length), found.Select(f => f.Length));
            for (var k = 0; k < found.Count; k++)
            {
                var (want, got) = (expected[k], found[k]);
                double Bound(int i) => want.Tolerance(i) + want.OnGpu(i);
                bool Fits(int i) => Math.Abs(want.Elements[i] - got[i]) <= Bound(i) || want.Elements[i].Equals(got[i]); // Equals: NaN is NaN, Inf is Inf
                var first = Enumerable.Range(0, got.Length).FirstOrDefault(i => !Fits(i), -1);
                if (first >= 0)
                    problems.Add($"{call}, output {k}, element {first}: expected {want.Elements[first]:R} within {Bound(first):E1}, found {got[first]:R}");
            }
        }
        if (problems.Count > 0)
            Assert.Fail(string.Join('\n', problems));
    }
}

/// <summary>On the emulated GPU, which has no other provider beside it: a node without a CUDA kernel fails.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class EmulatedGpuOpCaseTests(EmulatedGpu gpu)
{
    public static TheoryData<string> Operators => GpuOpCases.Operators;

    [Theory]
    [MemberData(nameof(Operators))]
    public void The_CUDA_kernel_computes_what_the_oracle_says(string opType) => GpuOpCases.Check(opType, call =>
    {
        var inputs = call.Inputs.Select((x, i) => (Name: $"x{i}", Value: Tensor.Floats(x.Sizes, x.Elements))).ToDictionary(x => x.Name, x => x.Value);
        return [.. gpu.Evaluate(call.ToModel().Model, inputs).Select(y => y.ToArray<float>())];
    });
}

/// <summary>On a real one.</summary>
[Trait("Category", "Gpu")]
public sealed class GpuOpCaseTests
{
    public static TheoryData<string> Operators => GpuOpCases.Operators;

    [WithGpu]
    [MemberData(nameof(Operators))]
    public void The_CUDA_kernel_computes_what_the_oracle_says(string opType) => GpuOpCases.Check(opType, call =>
        [.. OpRunner.Run(call.Inputs, call.Build, device: new Device(GraphDevice.Cuda)).Select(y => y.Elements)]);
}
