using Halo.CustomOps;
using Halo.Models.Bundled;
using Halo.Runner.Memory;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;
using TensorElementType = Microsoft.ML.OnnxRuntime.Tensors.TensorElementType;

namespace Halo.Tests.Runner.Memory;

/// <summary>What is planned for the CPU against what ONNX Runtime's arena gives out.</summary>
public sealed class CpuPlanTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The arena's most is of the whole process: each graph takes more than the one before.</summary>
    [Fact]
    public void Of_the_bundled_step_is_what_is_taken()
    {
        long before = 0;
        foreach (var options in new[] { "--scheme halo-0 --format fp8", "--scheme halo-2 --format int8", "--format none" })
        {
            var artifact = _folder[options.Replace(' ', '_')];
            HaloConsole.Succeed(["prepare", "--model", LlamaTiny.Folder, "-o", artifact, "--micro-batch-size", "8", "--sequence-length", "256", .. options.Split(' ')]);
            var graph = Path.Combine(artifact, "training_model.onnx");
            var (planned, measured) = (Planned(graph), Measured(graph));
            Assert.True(measured > before, $"{options}: {measured} behind {before}");
            Assert.InRange((double)planned / measured, 0.97, 1.03);
            before = measured;
        }
    }

    private static long Planned(string path)
    {
        var graph = GraphMemory.Of("training", OnnxReader.Read(path, HaloOperators.Catalogue).Graph, new CpuKernelMemory());
        return graph.Run.PeakBytes + graph.ConstantBytes;
    }

    /// <summary>Of two runs: from the second on all buffers are one block.</summary>
    private static long Measured(string path)
    {
        using var options = new SessionSettings().ToOptions();
        CpuArena.Use(options);
        using var session = new InferenceSession(path, options);
        using var binding = session.CreateIoBinding();
        using var run = new RunOptions();
        foreach (var (name, tensor) in session.InputMetadata)
        {
            var value = GraphSession.Allocate(tensor);
            if (tensor.ElementDataType == TensorElementType.Int64)
                value.GetTensorMutableDataAsSpan<long>().Fill(1);
            else
                value.GetTensorMutableDataAsSpan<float>().Fill(0.01f);
            binding.BindInput(name, value);
        }
        foreach (var (name, tensor) in session.OutputMetadata)
            binding.BindOutput(name, GraphSession.Allocate(tensor));
        session.RunWithBinding(run, binding);
        session.RunWithBinding(run, binding);
        return CpuArena.MostInUse(session);
    }
}
