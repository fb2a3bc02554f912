using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using Halo.CustomOps;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Benchmarks;

/// <summary>Times the kernels of a device beside what a copy and bare products reach in the same run.</summary>
/// <remarks>The GPU's cases are the native library's (<c>customops/provider/benchmarks</c>), the CPU's are those of <see cref="OperatorBenchmark"/>.</remarks>
internal static class KernelBenchmark
{
    private const long CopyBytes = 256 << 20;
    private const int CopyRounds = 15;
    private const long ProductSize = 1024;

    /// <param name="part">Of "kernel type" of those to time; empty for all.</param>
    /// <param name="progress">Is told what was timed.</param>
    /// <exception cref="HaloException">There is no GPU, or no library with its kernels.</exception>
    /// <exception cref="InvalidOperationException">A kernel failed.</exception>
    public static KernelReport OnGpu(string part, Action<string> progress)
    {
        new Device(GraphDevice.Cuda).Require();
        var versions = new Dictionary<string, string>();
        var times = new List<KernelTime>();
        NativeOperators.BenchKernels(part, line =>
        {
            using var json = JsonDocument.Parse(line);
            if (!json.RootElement.TryGetProperty("kernel", out _))
            {
                foreach (var version in json.RootElement.EnumerateObject())
                    versions[version.Name] = version.Value.ToString();
                return;
            }
            times.Add(json.RootElement.Deserialize<KernelTime>()!);
            progress($"{times[^1].Kernel} {times[^1].Type}, {times[^1].Shape}");
        });
        return new KernelReport(WithTool(versions), times);
    }

    /// <summary>As <see cref="OnGpu"/> for the operators of com.halo on the CPU, each by its function body too.</summary>
    /// <param name="part">Of "kernel type" of those to time; empty for all.</param>
    /// <param name="threads">0 is one for each core.</param>
    /// <param name="rounds">Runs timed of each, whose mean is taken.</param>
    /// <param name="progress">Is told what was timed.</param>
    public static KernelReport OnCpu(string part, int threads, int rounds, Action<string> progress)
    {
        var used = threads == 0 ? Environment.ProcessorCount : threads;
        var versions = new Dictionary<string, string>
        {
            ["cpu"] = $"{RuntimeInformation.ProcessArchitecture}",
            ["threads"] = $"{used}",
            ["onnxruntime"] = OrtEnv.Instance().GetVersionString(),
            ["rounds"] = $"{rounds}",
        };
        var copy = 2.0 * CopyBytes / CopySeconds(used);
        var operations = 2.0 * ProductSize * ProductSize * ProductSize;
        var seconds = MatMulRate.SecondsOf(ProductSize, ProductSize, ProductSize, threads);
        List<KernelTime> times =
        [
            new(KernelTime.CeilingPrefix + "copy", "bytes", $"{CopyBytes}", 2000.0 * CopyBytes / copy, copy / 1e9),
            new(KernelTime.CeilingPrefix + "product", "float", $"{ProductSize} x {ProductSize} x {ProductSize}", seconds * 1e3,
                TeraflopsPerSecond: operations / seconds / 1e12),
        ];
        foreach (var time in new OperatorBenchmark(threads, rounds).Run(part, copy, operations / seconds))
        {
            progress($"{time.Kernel} {time.Type}, {time.Shape}");
            times.Add(time);
        }
        return new KernelReport(WithTool(versions), times);
    }

    /// <summary>The version with the commit it was built from, where the build knew it.</summary>
    private static Dictionary<string, string> WithTool(Dictionary<string, string> versions) => new(versions)
    {
        ["halo"] = typeof(Ledger).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? Ledger.ToolVersion[5..],
        ["day"] = DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
    };

    /// <summary>The median time of a copy by so many threads, each of its part.</summary>
    private static unsafe double CopySeconds(int threads)
    {
        var (from, to) = ((nint)NativeMemory.AllocZeroed((nuint)CopyBytes), (nint)NativeMemory.AllocZeroed((nuint)CopyBytes));
        try
        {
            var piece = CopyBytes / threads;
            var times = new double[CopyRounds];
            for (var round = 0; round < CopyRounds; round++)
            {
                var start = Stopwatch.GetTimestamp();
                Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads },
                    i => Buffer.MemoryCopy((byte*)from + i * piece, (byte*)to + i * piece, piece, piece));
                times[round] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
            Array.Sort(times);
            return times[CopyRounds / 2];
        }
        finally
        {
            NativeMemory.Free((void*)from);
            NativeMemory.Free((void*)to);
        }
    }
}
