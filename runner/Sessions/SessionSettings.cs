using Halo.CustomOps;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Sessions;

/// <summary>How ONNX Runtime runs a graph.</summary>
internal sealed record SessionSettings
{
    /// <summary>More would take a stack each and find no core.</summary>
    public const int MaxThreads = 1024;

    /// <summary>On a GPU every node must have a kernel there: one left over is an error that names it.</summary>
    public Device Device { get; init; } = Device.Cpu;

    /// <summary>On a GPU; the CPU takes Halo alone.</summary>
    public CudaProvider Provider { get; init; }

    /// <summary>With ONNX Runtime's own provider: nodes that compute sizes may run on the CPU, where it puts them. Else a node there is an error.</summary>
    public bool AllowsHostNodes { get; init; }

    /// <summary>The process's place among those that share the work.</summary>
    public Rank Rank { get; init; } = Rank.Only;

    /// <summary>What carries the collectives of a graph of several ranks: the number of a <see cref="CustomOps.Communicator"/>; null: there are none.</summary>
    public long? Communicator { get; init; }

    /// <summary>Threads of one operator; 0 is one for each core.</summary>
    /// <exception cref="HaloException">Fewer than 0, or more than any machine has cores.</exception>
    public int Threads
    {
        get;
        init => field = value is >= 0 and <= MaxThreads ? value
            : throw new HaloException("session", "threads", $"0 to {MaxThreads}", $"{value}", "Give another number, or leave it out for one for each core.");
    }

    /// <summary>On the CPU; a GPU has its own kernels.</summary>
    public OperatorKernels Operators { get; init; }

    /// <summary>On a GPU; the CPU has kernels of its own, and takes Auto alone.</summary>
    public AttentionKernels Attention { get; init; }

    /// <summary>
    /// On the CPU; a GPU runs the nodes as they stand. Extended optimisation fuses operators; it gives the same values every time, though not those of
    /// the plain graph to the last bit.
    /// </summary>
    public GraphOptimizationLevel Optimization { get; init; } = GraphOptimizationLevel.ORT_ENABLE_EXTENDED;

    /// <summary>
    /// On a GPU: the first run records what it launches, and later ones replay it at once. Takes memory of its own for as long as the session lives.
    /// </summary>
    public bool Replays { get; init; }

    /// <summary>Where ONNX Runtime writes the time of every node, as a prefix of the file's path; null: nowhere.</summary>
    public string? ProfilePrefix { get; init; }

    /// <summary>Where outputs that a run makes anew on the device lie.</summary>
    internal OrtMemoryInfo Memory => Device.IsGpu && Provider == CudaProvider.Onnxruntime ? OnnxRuntimeCuda.Memory(Device.Ordinal) : Device.Memory;

    /// <exception cref="HaloException">
    /// The native library is asked for and is not there, or cannot run on this processor; there is no such GPU; a GPU's kernels are asked of the CPU; ONNX
    /// Runtime's CUDA provider is asked for and is not there.
    /// </exception>
    internal SessionOptions ToOptions()
    {
        if (!Device.IsGpu && Attention != AttentionKernels.Auto)
        {
            throw new HaloException("session", "attention", "auto on the CPU, which has kernels of its own", $"{Attention}".ToLowerInvariant(),
                "Leave --attention out, or run on a GPU with --device cuda.");
        }
        if (!Device.IsGpu && Provider != CudaProvider.Halo)
        {
            throw new HaloException("session", "provider", "a GPU for ONNX Runtime's CUDA provider", "the CPU",
                "Run with --device cuda, or leave --provider out.");
        }
        if (Communicator is not null && Provider != CudaProvider.Halo)
        {
            throw new HaloException("session", "provider", "halo for a graph that ranks share: collectives run beside its stream", "onnxruntime",
                "Leave --provider out, or train with one rank.");
        }
        OnnxRuntimeLibrary.Load();
        var options = new SessionOptions
        {
            GraphOptimizationLevel = Device.IsGpu ? GraphOptimizationLevel.ORT_DISABLE_ALL : Optimization,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            // Not left to ONNX Runtime, which takes one thread where it cannot tell cores apart, as on many virtual machines.
            IntraOpNumThreads = Threads > 0 ? Threads : Environment.ProcessorCount,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
            EnableMemoryPattern = !Device.IsGpu, // one block for a run's tensors is larger than they are at once, and the provider's arena finds places as well
        };
        // Codes stay signed: ONNX Runtime makes them unsigned on x64, and leaves an output_dtype that contradicts the zero point.
        options.AddSessionConfigEntry("session.qdqisint8allowed", "1");
        if (Communicator is { } id)
            options.AddSessionConfigEntry("halo.communicator", $"{id}");
        if (ProfilePrefix is { } prefix)
        {
            options.ProfileOutputPathPrefix = prefix; // first: it is read when profiling is switched on
            options.EnableProfiling = true;
        }
        if (Operators == OperatorKernels.Native || Device.IsGpu)
            NativeOperators.Register(options.RegisterCustomOpLibrary); // before the provider: a GPU has no schemas of its own
        if (Device.IsGpu && Provider == CudaProvider.Onnxruntime)
        {
            if (Attention != AttentionKernels.Auto)
                options.AddSessionConfigEntry("ep.halocuda.attention", $"{Attention}".ToLowerInvariant());
            OnnxRuntimeCuda.Append(options, Device.Ordinal, Replays, AllowsHostNodes);
        }
        else if (Device.IsGpu)
        {
            options.AppendExecutionProvider(OrtEnv.Instance(), [Device.Gpu],
                new Dictionary<string, string> { ["graph_capture"] = Replays ? "1" : "0", ["attention"] = $"{Attention}".ToLowerInvariant() });
            options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1");
        }
        return options;
    }
}
