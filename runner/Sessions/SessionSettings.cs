using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Sessions;

/// <summary>How ONNX Runtime runs a graph.</summary>
public sealed record SessionSettings
{
    /// <summary>Threads of one operator; 0 is one for each core.</summary>
    public int Threads { get; init; }

    /// <summary>Extended optimisation fuses operators; it gives the same values every time, though not those of the plain graph to the last bit.</summary>
    public GraphOptimizationLevel Optimization { get; init; } = GraphOptimizationLevel.ORT_ENABLE_EXTENDED;

    internal SessionOptions ToOptions()
    {
        var options = new SessionOptions
        {
            GraphOptimizationLevel = Optimization,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            IntraOpNumThreads = Threads,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        return options;
    }
}
