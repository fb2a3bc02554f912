using Halo.CustomOps;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

public class OpCaseTests
{
    private const int Seed = 20261123;

    private static readonly Dictionary<(string OpType, string Name), OpCall> AllCalls =
        OpCase.All.SelectMany(op => op.Calls(new Random(Seed)).Select(call => (op.OpType, call))).ToDictionary(c => (c.OpType, c.call.Name), c => c.call);

    public static IEnumerable<object[]> Calls => AllCalls.Keys.Select(key => new object[] { key.OpType, key.Name });

    [Theory]
    [MemberData(nameof(Calls))]
    public void The_function_body_computes_what_the_oracle_says(string opType, string name) => Check(AllCalls[(opType, name)], OperatorKernels.Functions);

    [Theory]
    [MemberData(nameof(Calls))]
    public void The_native_kernel_computes_what_the_oracle_says(string opType, string name) => Check(AllCalls[(opType, name)], OperatorKernels.Native);

    private static void Check(OpCall call, OperatorKernels kernels)
    {
        var expected = call.Oracle();
        foreach (var level in new[] { GraphOptimizationLevel.ORT_DISABLE_ALL, GraphOptimizationLevel.ORT_ENABLE_ALL })
        {
            var found = OpRunner.Run(call.Inputs, call.Build, level, kernels: kernels);
            Assert.Equal(expected.Count, found.Length);
            for (var k = 0; k < found.Length; k++)
            {
                Assert.Equal(expected[k].Elements.Length, found[k].Elements.Length);
                for (var i = 0; i < found[k].Elements.Length; i++)
                {
                    var (want, got) = (expected[k].Elements[i], found[k].Elements[i]);
                    if (!(Math.Abs(want - got) <= expected[k].Tolerance(i) || want.Equals(got))) // Equals: NaN is NaN, Inf is Inf
                        Assert.Fail($"{level}, output {k}, element {i}: expected {want:R} within {expected[k].Tolerance(i):E1}, found {got:R}; seed {Seed}");
                }
            }
            if (call.GradientOf is { } function)
                GradientCheck.Along(new Random(Seed), function, [.. found.Select(y => Array.ConvertAll(y.Elements, v => (double)v))], Tolerance);
        }

        double Tolerance(int k, int i) => expected[k].Tolerance(i);
    }

    public static IEnumerable<object[]> Gradients => AllCalls.Where(c => c.Value.GradientOf is not null).Select(c => new object[] { c.Key.OpType, c.Key.Name });

    [Theory]
    [MemberData(nameof(Gradients))]
    public void The_oracle_of_a_gradient_is_the_slope_of_its_function(string opType, string name)
    {
        var call = AllCalls[(opType, name)];
        var expected = call.Oracle();
        // The oracle computes in float64, from what the forward operator rounded to float32.
        double Tolerance(int k, int i) => Math.Min(expected[k].Tolerance(i), Tolerances.OneOperator * Math.Max(Math.Abs(expected[k].Elements[i]), 1));
        GradientCheck.Along(new Random(Seed), call.GradientOf!, [.. expected.Select(e => e.Elements)], Tolerance);
    }

    [Fact]
    public void Every_gradient_operator_is_checked_against_differences() =>
        Assert.All(HaloOperators.All.Where(op => op.OpType.EndsWith("Grad", StringComparison.Ordinal)),
            op => Assert.Contains(op.OpType, Gradients.Select(g => (string)g[0])));

    [Fact]
    public void The_native_library_has_the_same_schemas() => Assert.Equal(HaloOperators.All.Select(op => op.Schema), NativeOperators.Schemas());

    /// <summary>A case gives what is timed, so that no list elsewhere does.</summary>
    [Fact]
    public void Benchmarks_have_names_of_their_own_and_a_measure()
    {
        var benchmarks = OpCase.All.SelectMany(op => op.Benchmarks).ToList();
        Assert.Equal(benchmarks.Count, benchmarks.DistinctBy(b => (b.Kernel, b.Type)).Count());
        Assert.All(benchmarks, b => Assert.True(b.Bytes > 0 != b.Operations > 0, $"{b.Kernel} {b.Type} counts bytes or operations"));
    }

    /// <summary>Operators that share their code, or nothing but their folder's kernels, and so the folder.</summary>
    private static readonly Dictionary<string, string[]> Families = new()
    {
        ["RowCodes"] = ["QuantizeRows", "SumRows"],
        ["HostCopies"] = ["CopyWait", "FetchStart", "OffloadStart"],
        ["Collectives"] = ["AllGatherStart", "AllReduceStart", "AllToAllStart", "CollectiveWait", "ReduceScatterStart"],
    };

    [Fact]
    public void Every_operator_folder_is_complete_and_registered()
    {
        var folders = Directory.GetDirectories(Path.Combine(RepositoryRoot.Path, "customops", "ops"));
        var words = folders.Select(path => Path.GetFileName(path).Split('_'));
        var names = words.Select(list => string.Concat(list.Select(word => char.ToUpperInvariant(word[0]) + word[1..]))).ToArray();
        var ops = names.SelectMany(name => Families.GetValueOrDefault(name, [name])).Order().ToList();
        foreach (var (path, name) in folders.Zip(names))
        {
            var op = Path.GetFileName(path);
            foreach (var file in Families.GetValueOrDefault(name, [name]).Select(member => $"{member}.cs"))
                Assert.True(File.Exists(Path.Combine(path, file)), $"{path} has {file}");
            foreach (var file in new[] { $"{name}Case.cs", $"{op}.h", $"{op}_ort.cc", $"{op}_check.cc" })
                Assert.True(File.Exists(Path.Combine(path, file)), $"{path} has {file}");
            Assert.True(File.Exists(Path.Combine(path, $"{op}_cpu.cc")) || File.Exists(Path.Combine(path, "..", "..", "common", $"{op}.h")),
                $"{path} has {op}_cpu.cc, or common/{op}.h has what other operators' kernels call too");
            var onGpu = File.Exists(Path.Combine(path, $"{op}.cu"));
            Assert.True(onGpu || File.ReadAllText(Path.Combine(path, $"{op}_ort.cc")).Contains("cudaMemcpyAsync", StringComparison.Ordinal),
                $"{path} has {op}.cu, or a copy in {op}_ort.cc is all that it does");
            if (!onGpu)
                continue;
            var members = Families.GetValueOrDefault(name, [name]);
            Assert.True(OpCase.All.Any(test => members.Contains(test.OpType) && test.Benchmarks.Any()), $"{name}Case has benchmarks");
            Assert.True(File.Exists(Path.Combine(path, $"{op}_check_cuda.cc")), $"{path}: {op}.cu is checked in {op}_check_cuda.cc");
            Assert.True(File.Exists(Path.Combine(path, $"{op}_bench.cc")), $"{path}: {op}.cu is timed in {op}_bench.cc");
        }
        Assert.Equal(ops, HaloOperators.All.Select(op => op.OpType));
        Assert.Equal(ops, OpCase.All.Select(op => op.OpType).Order());
    }
}
