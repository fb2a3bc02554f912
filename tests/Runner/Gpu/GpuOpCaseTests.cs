using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Tests.CustomOps;

namespace Halo.Tests.Runner.Gpu;

/// <summary>The cases of the operators by their CUDA kernels: on an emulated GPU those that it has time for, on a real one all of them.</summary>
public static class GpuOpCases
{
    private const int Seed = 20261123;

    /// <summary>
    /// What a CUDA kernel may be off beyond the tolerance of a case, in units of float32 or of the 16-bit type: sums are cut into pieces of other borders,
    /// exponentials are the device's, and attention in 16 bits rounds probabilities in between.
    /// </summary>
    private const double Times = 8, Between = 2e-2;

    public static TheoryData<string> Operators => [.. OpCase.All.Select(op => op.OpType)];

    /// <summary>Differences from the oracles, a line each.</summary>
    public static IReadOnlyList<string> Problems(string opType, long mostElements, Func<Model, OpCall, IReadOnlyList<float[]>> run)
    {
        var problems = new List<string>();
        foreach (var call in OpCase.All.Single(op => op.OpType == opType).Calls(new Random(Seed)).Where(c => c.Inputs.Sum(x => x.Elements.LongLength) <= mostElements))
        {
            var (model, outputs) = call.ToModel();
            var expected = call.Oracle();
            var is16Bit = outputs[0].Type is ElementType.BFloat16 or ElementType.Float16;
            foreach (var ((want, found), k) in expected.Zip(run(model, call)).Select((pair, k) => (pair, k)))
            {
                for (var i = 0; i < want.Elements.Length; i++)
                {
                    var (e, f) = (want.Elements[i], found[i]);
                    var bound = Times * want.Tolerance(i) + (is16Bit && opType.StartsWith("Attention", StringComparison.Ordinal) ? Between * (1 + Math.Abs(e)) : 0);
                    if (Math.Abs(e - f) <= bound || e.Equals(f))
                        continue;
                    problems.Add($"{call}, output {k}, element {i}: expected {e:R} within {bound:E1}, found {f:R}");
                    break;
                }
            }
        }
        return problems;
    }
}

/// <summary>On the emulated GPU.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class EmulatedGpuOpCaseTests(EmulatedGpu gpu)
{
    /// <summary>Elements of all inputs of a call: an emulated block runs its threads one after the other.</summary>
    private const long MostElements = 4000;

    public static TheoryData<string> Operators => GpuOpCases.Operators;

    [Theory]
    [MemberData(nameof(Operators))]
    public void The_CUDA_kernel_computes_what_the_oracle_says(string opType) => Assert.Empty(GpuOpCases.Problems(opType, MostElements, (model, call) =>
    {
        var inputs = call.Inputs.Select((x, i) => ($"x{i}", Tensor.Floats(x.Sizes, x.Elements))).ToDictionary(x => x.Item1, x => x.Item2);
        return [.. gpu.Evaluate(model, inputs).Select(y => y.ToArray<float>())];
    }));
}

/// <summary>On a real one.</summary>
[Trait("Category", "Gpu")]
public sealed class GpuOpCaseTests
{
    public static TheoryData<string> Operators => GpuOpCases.Operators;

    [WithGpu]
    [MemberData(nameof(Operators))]
    public void The_CUDA_kernel_computes_what_the_oracle_says(string opType) => Assert.Empty(GpuOpCases.Problems(opType, long.MaxValue, (_, call) =>
        [.. OpRunner.Run(call.Inputs, call.Build, device: new Device(GraphDevice.Cuda)).Select(y => y.Elements)]));
}
