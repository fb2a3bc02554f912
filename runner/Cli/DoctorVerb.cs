using System.CommandLine;
using System.Runtime.InteropServices;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Cli;

/// <summary><c>halo doctor</c>: what this machine has, and whether the pieces work together.</summary>
internal static class DoctorVerb
{
    public static Command Command()
    {
        var command = new Command("doctor", "Report what this machine has and check that the parts work together.");
        command.SetAction(_ => Run());
        return command;
    }

    private static int Run()
    {
        Line("halo", $"{Ledger.ToolVersion[5..]}, {AppContext.BaseDirectory}");
        Line("runtime", $"{RuntimeInformation.FrameworkDescription}, {RuntimeInformation.RuntimeIdentifier}, {RuntimeInformation.OSDescription}");
        Line("cores", $"{Environment.ProcessorCount}, {GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1 << 20):N0} MiB memory");
        OnnxRuntimeLibrary.Load();
        Line("ONNX Runtime", OrtEnv.Instance().GetVersionString() + (OnnxRuntimeLibrary.Named is { } named ? $", {named}" : ""));
        Line("telemetry", Telemetry.State);
        Line("devices", string.Join(", ", OrtEnv.Instance().GetEpDevices().Select(d => d.EpName)));
        var isNative = NativeOperators.IsBuilt && NativeOperators.Problem is null;
        Line("native operators", isNative ? $"{NativeOperators.LibraryPath}, {NativeOperators.Schemas().Count} operators"
            : NativeOperators.IsBuilt ? $"none, {NativeOperators.LibraryPath} cannot be loaded: {NativeOperators.Problem}; run with --operators functions"
            : $"none at {NativeOperators.LibraryPath}: built with SkipNative; run with --operators functions");
        ReportCuda();
        var works = true;
        foreach (var operators in Enum.GetValues<OperatorKernels>().Where(o => o == OperatorKernels.Functions || isNative))
        {
            foreach (var format in NumberFormat.All)
            {
                var error = Quantization(format, operators);
                var isFine = error is > 0 and < 0.1;
                works &= isFine;
                var by = operators == OperatorKernels.Native ? "native kernels" : "function bodies";
                Line($"{format} products",
                    isFine ? $"work on the CPU by {by}, relative error {error:E1} on a random layer" : $"fail by {by}: relative error {error:E1}");
            }
        }
        return works ? ExitCode.Done : ExitCode.Failed;
    }

    /// <summary>What there is of a GPU; none is no failure.</summary>
    private static void ReportCuda()
    {
        if (!NativeOperators.IsBuilt || NativeOperators.Problem is not null)
            return;
        var report = NativeOperators.CudaReport();
        foreach (var (what, found) in report)
            Line(what, found);
        if (NativeOperators.NcclReport() is { } nccl)
            Line("NCCL", nccl);
        if (report.Count == 0)
            Line("CUDA", "the native library was built without it: put nvcc (CUDA 12.8 or 13) on PATH and build again, for --device cuda");
    }

    private static void Line(string what, string found) => Console.WriteLine($"{what,-16} {found}");

    /// <summary>The relative error of a rotated product of 64 x 64 matrices in this format, through ONNX Runtime.</summary>
    private static double Quantization(NumberFormat format, OperatorKernels operators)
    {
        const int Size = 64;
        var graph = new Graph("check");
        var model = new Model(graph, HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var build = GraphBuilder.AtEnd(graph);
        var codes = new List<(Value Codes, Value Scale)>();
        var inputs = new Dictionary<string, Tensor>();
        var plain = new List<Value>();
        var random = new Random(1);
        foreach (var name in new[] { "A", "B" })
        {
            var x = graph.AddInput(new Value(name, ElementType.Float, Shape.Of(Size, Size)));
            plain.Add(x);
            inputs[name] = Tensor.Floats([Size, Size], [.. Enumerable.Range(0, Size * Size).Select(_ => (float)(random.NextDouble() - 0.5))]);
            codes.Add(build.Quantize(build.HadamardTransform(x, 1, Hadamard.Blocks(Size), inverse: false, $"{name}H"), format, $"{name}Q"));
        }
        graph.AddOutput(build.ScaledMatMul(codes[0].Codes, codes[0].Scale, codes[1].Codes, codes[1].Scale, transA: false, transB: true, "Y"));
        graph.AddOutput(build.Op("expected", "Gemm", [plain[0], plain[1]], Attribute.Of("transB", 1L)));
        var results = new OnnxEvaluator(operators).Evaluate(model, inputs);
        var (found, expected) = (results[0].ToArray<float>(), results[1].ToArray<float>());
        return Math.Sqrt(found.Zip(expected, (a, b) => Math.Pow(a - b, 2)).Sum() / expected.Sum(e => (double)e * e));
    }
}
