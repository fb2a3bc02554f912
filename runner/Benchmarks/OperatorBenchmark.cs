using Halo.CustomOps.Cases;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Benchmarks;

/// <summary>Times each operator of com.halo by its native kernel and by its function body, in a graph of its own.</summary>
/// <remarks>
/// What is timed are the cases of the operators (<see cref="OpCase.Benchmarks"/>), at the sizes of llama-tiny's training graph, 8 x 256 tokens. Times are ONNX
/// Runtime's own of each node, so that what feeds an operator does not count.
/// </remarks>
internal sealed class OperatorBenchmark(int threads, int rounds)
{
    private const int WarmUp = 3, Seed = 1;

    /// <summary>Each operator by its native kernel and by its function body.</summary>
    /// <param name="part">Of "kernel type" of those to time.</param>
    /// <param name="copyRate">Bytes a second of a copy, read and written.</param>
    /// <param name="productRate">Operations a second of a bare product.</param>
    public IEnumerable<KernelTime> Run(string part, double copyRate, double productRate)
    {
        foreach (var op in OpCase.All)
        {
            foreach (var entry in op.Benchmarks.Where(e => $"{e.Kernel} {e.Type}".Contains(part, StringComparison.Ordinal)))
            {
                var call = entry.Call(new Random(Seed));
                var (native, body) = (Time(op.OpType, call, OperatorKernels.Native), Time(op.OpType, call, OperatorKernels.Functions));
                var rate = (entry.Bytes + entry.Operations) / native * 1e3;
                var time = new KernelTime(entry.Kernel, entry.Type, entry.Shape, native, BodyMilliseconds: body);
                yield return entry.Bytes > 0 ? time with { GigabytesPerSecond = rate / 1e9, OfCopy = rate / copyRate }
                    : time with { TeraflopsPerSecond = rate / 1e12, OfProducts = rate / productRate };
            }
        }
    }

    /// <summary>Milliseconds of a run of the operator's node, or of those of its body.</summary>
    private double Time(string opType, OpCall call, OperatorKernels kernels)
    {
        var (model, _) = call.ToModel();
        // The casts around an operator, and what quantizes a product's operands, are not the operator's; a body's nodes have names that ONNX Runtime makes.
        var feeding = model.Graph.Nodes.Where(node => node.OpType != opType).ToList();
        var feedingNames = feeding.Select(node => node.Name).ToHashSet(StringComparer.Ordinal);
        var folder = Directory.CreateTempSubdirectory("halo-bench-").FullName;
        try
        {
            using var session = new GraphSession("operator", OnnxWriter.ToBytes(model), new SessionSettings
            {
                Threads = threads,
                Operators = kernels,
                Optimization = GraphOptimizationLevel.ORT_DISABLE_ALL,
                ProfilePrefix = Path.Combine(folder, "profile"),
            });
            foreach (var (name, metadata) in session.Inputs)
            {
                var value = GraphSession.Allocate(metadata);
                call.Inputs[model.Graph.Inputs.ToList().FindIndex(x => x.Name == name)].Elements.CopyTo(value.GetTensorMutableDataAsSpan<float>());
                session.BindInput(name, value);
            }
            foreach (var (name, metadata) in session.Outputs)
                session.BindOutput(name, GraphSession.Allocate(metadata));
            for (var round = 0; round < WarmUp + rounds; round++)
                session.Run();
            return StepProfile.Read(session.EndProfiling(), WarmUp, feedingNames).Milliseconds.Sum(t => t.Milliseconds);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
