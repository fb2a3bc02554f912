using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Memory;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Memory;

/// <summary>What is planned for a run on the CPU against what ONNX Runtime's arena gave out.</summary>
public sealed class CpuMemoryTests
{
    /// <summary>The arena grows by powers of two and counts a chunk whole: of small graphs it says more than was asked for, of this one within 3 %.</summary>
    [Fact]
    public void Of_a_training_step_is_what_the_arena_gives()
    {
        var model = OnnxReader.Read(ExportFixture.File("llama2-mha", "training.onnx"), HaloOperators.Catalogue);
        PassManager.Run(model, Pipelines.Parse(Pipelines.Cleanup), new PassOptions { Evaluator = new OnnxEvaluator() });
        var planned = (GraphMemory.Of("training", model.Graph, new CpuKernelMemory()) with { IsPacked = true }).PeakBytes;
        var taken = Taken(model);
        Assert.True(planned >= 0.97 * taken && planned <= 1.03 * taken, $"{planned:N0} bytes planned, {taken:N0} taken");
    }

    /// <summary>The most that two runs take of the session's arena, everything the graph takes and gives lying elsewhere.</summary>
    private static long Taken(Model model)
    {
        using var options = new SessionSettings { Threads = 1 }.ToOptions();
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        using var arena = new OrtAllocator(session, OrtMemoryInfo.DefaultInstance);
        using var binding = session.CreateIoBinding();
        var inputs = VerificationInputs.For(model.Graph);
        var values = session.InputNames.ToDictionary(n => n, n => OnnxEvaluator.ToOrtValue(inputs[n]));
        foreach (var (input, value) in values)
            binding.BindInput(input, value);
        var outputs = session.OutputMetadata.ToDictionary(o => o.Key, o => GraphSession.Allocate(o.Value));
        foreach (var (output, value) in outputs)
            binding.BindOutput(output, value);
        using var run = new RunOptions();
        var held = InUse(arena, "InUse");
        session.RunWithBinding(run, binding);
        session.RunWithBinding(run, binding);
        foreach (var value in values.Values.Concat(outputs.Values))
            value.Dispose();
        return InUse(arena, "MaxInUse") - held;
    }

    /// <summary>A figure of an allocator, which the C API has and the managed one does not.</summary>
    private static unsafe long InUse(OrtAllocator allocator, string figure)
    {
        nint pairs;
        Assert.Equal(0, ((delegate* unmanaged<nint, nint*, nint>)Function("AllocatorGetStats"))(allocator.DangerousGetHandle(), &pairs));
        fixed (byte* key = System.Text.Encoding.UTF8.GetBytes(figure + '\0'))
        {
            var text = Marshal.PtrToStringUTF8((nint)((delegate* unmanaged<nint, byte*, byte*>)Function("GetKeyValue"))(pairs, key));
            ((delegate* unmanaged<nint, void>)Function("ReleaseKeyValuePairs"))(pairs);
            return long.Parse(text!, CultureInfo.InvariantCulture);
        }
    }

    private static nint Function(string name)
    {
        var api = typeof(OrtEnv).Assembly.GetType("Microsoft.ML.OnnxRuntime.NativeMethods", throwOnError: true)!
            .GetField("api_", BindingFlags.Static | BindingFlags.NonPublic)!.GetValue(null)!;
        return (nint)api.GetType().GetField(name)!.GetValue(api)!;
    }
}
