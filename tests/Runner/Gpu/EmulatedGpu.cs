using System.Diagnostics;
using System.Runtime.InteropServices;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.CustomOps;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Gpu;

/// <summary>The tests with sessions of the emulated library in this process, one after the other: its GPU is one.</summary>
[CollectionDefinition(nameof(EmulatedGpu))]
public sealed class EmulatedGpuCollection : ICollectionFixture<EmulatedGpu>;

/// <summary>Those that start the executable alone, each process with a GPU of its own, beside them.</summary>
[CollectionDefinition(Name)]
public sealed class EmulatedGpuProcesses : ICollectionFixture<EmulatedGpu>
{
    public const string Name = nameof(EmulatedGpuProcesses);
}

/// <summary>
/// The library with the provider on a GPU that the CPU emulates, which is built once and kept: under the executable in a folder of its own, and in sessions
/// of this process.
/// </summary>
public sealed class EmulatedGpu : IDisposable
{
    private const string Provider = "HaloCuda";

    private static readonly Lazy<string> Built = new(() => Path.Combine(NativeBuild.Build("native", "halo_emulated"), "emulated", "libhalo.so"));
    private static OrtEpDevice? registered; // for the life of the process, as ONNX Runtime's environment is

    private readonly TemporaryFolder _folder = new();
    private readonly string _library = Built.Value;

    public EmulatedGpu()
    {
        foreach (var entry in new DirectoryInfo(AppContext.BaseDirectory).GetFileSystemInfos().Where(e => e.Name != "libhalo.so"))
        {
            if (entry is FileInfo file && file.Name.StartsWith("halo.", StringComparison.Ordinal))
                file.CopyTo(_folder[entry.Name]); // .NET looks for the others beside the real file
            else
                File.CreateSymbolicLink(_folder[entry.Name], entry.FullName);
        }
        File.CreateSymbolicLink(_folder["libhalo.so"], _library);
    }

    /// <summary>The native library.</summary>
    public string Library => _library;

    /// <summary>The executable over that library, for who starts it otherwise.</summary>
    public string Executable => _folder["halo.dll"];

    public void Dispose() => _folder.Dispose();

    /// <summary>The executable, which is to end with 0.</summary>
    public string Succeed(IEnumerable<string> arguments) => Run("dotnet", [_folder["halo.dll"], .. arguments], []);

    /// <summary>As <see cref="Succeed"/>, runs recorded and replayed where sessions ask for it.</summary>
    public string SucceedRecording(IEnumerable<string> arguments) => Run("dotnet", [_folder["halo.dll"], .. arguments], [("HALO_CUDA_SYNC", "0")]);

    public (int ExitCode, string Error) Start(IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        var (exitCode, _, error) = Finish("dotnet", [_folder["halo.dll"], .. arguments], environment);
        return (exitCode, error);
    }

    /// <summary>What a session of the model leaves to other providers: "'node' (Operator): why"; none where it runs there as it is.</summary>
    public IReadOnlyList<string> LeftOver(Model model)
    {
        try
        {
            using var session = Open(model);
            return [];
        }
        catch (OnnxRuntimeException e)
        {
            var problems = Marshal.GetDelegateForFunctionPointer<Problems>(NativeLibrary.GetExport(NativeLibrary.Load(_library), "HaloCudaProblems"));
            var lines = Marshal.PtrToStringUTF8(problems())!.Split('\n').Select(l => l.Split('\t', 2)).Where(l => l[0] == "node").ToList();
            return lines.Count > 0 ? [.. lines.Select(l => l[1])] : [e.Message];
        }
    }

    /// <summary>The outputs, all nodes run there.</summary>
    public IReadOnlyList<Tensor> Evaluate(Model model, IReadOnlyDictionary<string, Tensor> inputs, Communicator? ranks = null)
    {
        Assert.Empty(LeftOver(model));
        using var session = Open(model, ranks);
        using var run = new RunOptions();
        var values = inputs.Where(i => session.InputMetadata.ContainsKey(i.Key)).ToDictionary(i => i.Key, i => OnnxEvaluator.ToOrtValue(i.Value));
        using var outputs = session.Run(run, values, [.. model.Graph.Outputs.Select(o => o.Name)]);
        foreach (var value in values.Values)
            value.Dispose();
        return [.. outputs.Select(OnnxEvaluator.FromOrtValue)];
    }

    private InferenceSession Open(Model model, Communicator? ranks = null)
    {
        lock (_folder)
        {
            if (registered is null)
            {
                OrtEnv.Instance().RegisterExecutionProviderLibrary(Provider + "Emulated", _library);
                registered = OrtEnv.Instance().GetEpDevices().Single(d => d.EpName == Provider);
            }
        }
        using var options = new SessionOptions
        {
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        options.RegisterCustomOpLibrary(_library);
        options.AppendExecutionProvider(OrtEnv.Instance(), [registered], new Dictionary<string, string>());
        options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1");
        if (ranks is not null)
            options.AddSessionConfigEntry(Communicator.ConfigKey, $"{ranks.Id}");
        return new InferenceSession(OnnxWriter.ToBytes(model), options);
    }

    private static string Run(string program, IEnumerable<string> arguments, (string Name, string Value)[] environment)
    {
        var (exitCode, output, error) = Finish(program, arguments, environment);
        Assert.True(exitCode == 0, $"{program} {string.Join(' ', arguments)} ended with {exitCode}:\n{output}\n{error}");
        return output;
    }

    private static (int ExitCode, string Output, string Error) Finish(string program, IEnumerable<string> arguments, (string Name, string Value)[] environment)
    {
        var info = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["HALO_CUDA_SYNC"] = "1"; // errors name their node, and nothing is recorded
        foreach (var (name, value) in environment)
            info.Environment[name] = value;
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }

    private delegate nint Problems();
}
