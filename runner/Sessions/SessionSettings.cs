using Halo.CustomOps;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Sessions;

/// <summary>What runs the operators of com.halo.</summary>
public enum OperatorKernels
{
    /// <summary>The kernels of the native library.</summary>
    Native,

    /// <summary>The function bodies in the model, by ONNX Runtime's own operators: slower, and nothing but ONNX Runtime needed.</summary>
    Functions,
}

/// <summary>How ONNX Runtime runs a graph.</summary>
public sealed record SessionSettings
{
    /// <summary>Threads of one operator; 0 is one for each core.</summary>
    public int Threads { get; init; }

    public OperatorKernels Operators { get; init; }

    /// <summary>Extended optimisation fuses operators; it gives the same values every time, though not those of the plain graph to the last bit.</summary>
    public GraphOptimizationLevel Optimization { get; init; } = GraphOptimizationLevel.ORT_ENABLE_EXTENDED;

    /// <summary>Where ONNX Runtime writes the time of every node, as a prefix of the file's path; null: nowhere.</summary>
    public string? ProfilePrefix { get; init; }

    /// <exception cref="HaloException">The native library is asked for and is not there, or cannot run on this processor.</exception>
    internal SessionOptions ToOptions()
    {
        var options = new SessionOptions
        {
            GraphOptimizationLevel = Optimization,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            // Not left to ONNX Runtime, which takes one thread where it cannot tell cores apart, as on many virtual machines.
            IntraOpNumThreads = Threads > 0 ? Threads : Environment.ProcessorCount,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        if (ProfilePrefix is { } prefix)
        {
            options.ProfileOutputPathPrefix = prefix; // first: it is read when profiling is switched on
            options.EnableProfiling = true;
        }
        if (Operators == OperatorKernels.Native)
            NativeOperators.Register(options.RegisterCustomOpLibrary);
        return options;
    }
}
