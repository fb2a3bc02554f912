using System.CommandLine;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Data;
using Halo.Runner.Memory;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Engine;
using Halo.Serialization;

namespace Halo.Runner.Cli;

/// <summary><c>halo step</c>: runs a training graph on one batch, or repeats step and update on it.</summary>
internal static class StepVerb
{
    private const string LossesName = "losses";

    public static Command Command()
    {
        var graph = new Argument<string>("TRAINING.onnx") { Description = "The training graph." };
        var parameters = new Option<string[]>("--params")
        {
            Description = "Safetensors with every parameter of the graph; it may hold more. Again for more files: those of a base and of an adapter, or an "
                + "adapter's folder.",
            Required = true,
        };
        var batch = new Option<string>("--batch") { Description = "Safetensors with input_ids, attention_mask and labels, int64.", Required = true };
        var output = new Option<string>("--output", "-o")
        {
            Description = "Safetensors to write: loss and grad.<parameter>, or losses with --steps.",
            Required = true,
        };
        var steps = new Option<int?>("--steps") { Description = "Repeat step and AdamW update on the batch; each loss is taken before its update." };
        var lr = new Option<double>("--lr") { Description = "Learning rate.", DefaultValueFactory = _ => 1e-3 };
        var betas = new Option<string>("--betas") { Description = "Decays of AdamW's moments, A,B.", DefaultValueFactory = _ => "0.9,0.999" };
        var epsilon = new Option<double>("--eps") { Description = "AdamW's epsilon.", DefaultValueFactory = _ => 1e-8 };
        var decay = new Option<double>("--weight-decay") { Description = "Decoupled weight decay of every parameter." };
        var clip = new Option<double?>("--clip") { Description = "Largest gradient norm." };
        var save = new Option<string?>("--save-params") { Description = "Safetensors to write the updated parameters to." };
        var threads = new Option<int>("--threads") { Description = "Threads; 0 is one for each core." };
        var operators = Choice<OperatorKernels>.Option("--operators", "What runs the operators of com.halo: native kernels or function bodies.");
        var device = Choice<GraphDevice>.Option("--device", "Where the graph runs: cpu or cuda.");
        var provider = Choice<CudaProvider>.Option("--provider", "Whose execution provider runs on a GPU: halo or onnxruntime.");
        var attention = Choice<AttentionKernels>.Option("--attention", "Whose kernels run attention on a GPU: auto, halo or cudnn.");
        var command = new Command("step", "Run a training graph on one batch: loss and gradients, or losses over several updates.")
            { graph, parameters, batch, output, steps, lr, betas, epsilon, decay, clip, save, device, provider, threads, operators, attention };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(steps) is null && parsed.GetValue(save) is not null)
                throw new HaloException("step", "--save-params", "--steps with it", "no update to save", "Give --steps N.");
            if (parsed.GetValue(steps) is <= 0)
                throw new HaloException("step", "--steps", "at least 1", parsed.GetValue(steps).ToString()!, "Leave it out to run once without an update.");
            var (beta1, beta2) = Betas(parsed.GetValue(betas)!);
            var settings = new AdamWSettings(beta1, beta2, parsed.GetValue(epsilon), parsed.GetValue(decay), parsed.GetValue(clip));
            return Run(parsed.GetValue(graph)!, parsed.GetValue(parameters)!, parsed.GetValue(batch)!, parsed.GetValue(output)!, parsed.GetValue(steps),
                parsed.GetValue(lr), settings, parsed.GetValue(save),
                new SessionSettings
                {
                    Device = new Device(parsed.GetValue(device)),
                    Provider = parsed.GetValue(provider),
                    Replays = parsed.GetValue(steps) > 1 && parsed.GetValue(provider) == CudaProvider.Halo, // the other runs a graph thrice to record it
                    Threads = parsed.GetValue(threads),
                    Operators = parsed.GetValue(operators),
                    Attention = parsed.GetValue(attention),
                });
        });
        return command;
    }

    private static int Run(string graphPath, string[] parametersPaths, string batchPath, string outputPath, int? steps, double learningRate,
        AdamWSettings settings, string? savePath, SessionSettings session)
    {
        Outputs.Check("step", [("--output", outputPath), ("--save-params", savePath)], [graphPath, .. parametersPaths, batchPath]);
        session.Device.Require();
        var model = OnnxReader.Read(graphPath, HaloOperators.Catalogue);
        ShapeInference.Run(model.Graph);
        var adapted = PassManager.Run(model, [new AdaptInputs(KeepPositions: true), new OrderScatterAdds()], new PassOptions()).Passes.Any(p => p.Rewrites > 0);
        var @interface = TrainingInterface.Of(model.Graph, graphPath, session.Device.Kind);
        if (steps is not null && @interface.ParameterType != ElementType.Float)
        {
            throw new HaloException("step", "--steps", "float32 parameters, which an update keeps its digits in", @interface.ParameterType.Name(),
                "Leave it out for loss and gradients alone.");
        }
        foreach (var path in parametersPaths)
            Checkpoints.CheckGiven(path);
        if (@interface.Held.FirstOrDefault(name => !AdapterNames.IsPlaces(name)) is { } code)
        {
            throw new HaloException("step", graphPath, "a graph that reads its weights", $"one that reads codes of frozen weights, such as '{code}'",
                "Give a graph of halo gradient --adapter, rewritten by halo rewrite.");
        }
        using var parameters = ParameterFiles.Open(parametersPaths);
        var micro = ReadBatch(batchPath, @interface);
        using var engine = new TrainingEngine(@interface, Session(model, graphPath, adapted, session, @interface.BatchNames),
            steps is null ? null : OnnxWriter.ToBytes(AdamWGraph.Build(@interface.Trained, settings)), accumulates: false, session.Threads);
        engine.Parameters.Load(parameters.Path, parameters.Tensors);
        if (HeldTensors.Of(null, model.Graph, parameters.Path, parameters.Tensors, session) is { } held)
            engine.Hold(held);
        if (steps is { } count)
        {
            var losses = new float[count];
            for (var k = 0; k < count; k++)
            {
                losses[k] = (float)engine.Step([micro], k + 1, learningRate).Loss;
                Console.Error.WriteLine($"step {k + 1}/{count} | loss {losses[k]:F4}");
            }
            SafetensorsWriter.Write(outputPath, [SafetensorsSource.From(LossesName, ElementType.Float, [count], losses)]);
            if (savePath is not null)
                SafetensorsWriter.Write(savePath, [.. engine.Parameters.Sources()]);
            Console.WriteLine($"{losses[^1]:G9}");
        }
        else
        {
            var loss = engine.Run(micro);
            SafetensorsWriter.Write(outputPath,
                [SafetensorsSource.From(TrainingNames.Loss, ElementType.Float, [], new[] { (float)loss }),
                    .. engine.Gradients.Sources(TrainingNames.GradientPrefix)]);
            Console.WriteLine($"{loss:G9}");
        }
        if (session.Device.IsGpu && AttentionUse.Take() is { } attention)
            Console.Error.WriteLine(attention);
        if (session.Provider == CudaProvider.Halo && DeviceMemory.Take(session.Device) is { } memory) // the other has an arena of its own
        {
            var planned = MemoryPlan.Of(@interface, model.Graph, null, steps is null ? null : AdamWGraph.Build(@interface.Trained, settings).Graph,
                updates: steps is not null, accumulates: false, GraphDevice.Cuda, session.Attention);
            Console.Error.WriteLine($"memory: {planned.PeakBytes:N0} bytes planned, {memory.Peak:N0} in use at the most, {memory.Reserved:N0} reserved");
        }
        return ExitCode.Done;
    }

    /// <summary>The graph as it stands in the file, but for int32 tokens and scatters that ONNX Runtime gets wrong.</summary>
    private static GraphSession Session(Model model, string path, bool adapted, SessionSettings settings, IEnumerable<string> batch) =>
        !adapted ? GraphSession.OfBatch(path, settings, batch)
            : settings.Device.IsGpu ? GraphSession.OfBatch(Path.GetFileName(path), model, settings, batch)
            : new GraphSession(Path.GetFileName(path), OnnxWriter.ToBytes(model), settings);

    /// <summary>The batch as it stands in the file, held to what the graph takes. Without position_ids a row is one document.</summary>
    private static MicroBatch ReadBatch(string path, TrainingInterface @interface)
    {
        using var file = SafetensorsFile.Open(path);
        var inputs = @interface.Batch.ToDictionary(input => input.Role, input => Read(file, path, input.Name, @interface));
        var counted = inputs[BatchRole.Labels].Where((label, i) => label != TrainingNames.IgnoredLabel && i % @interface.Sequence > 0).Count();
        var batch = new MicroBatch(inputs, counted, (int)inputs[BatchRole.Mask].Sum());
        @interface.Check(batch, path);
        return batch;
    }

    private static long[] Read(SafetensorsFile file, string path, string name, TrainingInterface @interface)
    {
        if (!file.Tensors.TryGetValue(name, out var tensor) && name == TrainingNames.PositionIds)
            return [.. Enumerable.Range(0, @interface.Rows * @interface.Sequence).Select(i => (long)i % @interface.Sequence)];
        if (tensor is null || tensor.DType != ElementType.Int64
            || !tensor.Shape.SequenceEqual([@interface.Rows, @interface.Sequence]))
        {
            throw new HaloException("step", $"{path}: '{name}'", $"int64[{@interface.Rows}, {@interface.Sequence}], the graph's batch and sequence",
                tensor is null ? "no such tensor" : $"{tensor.DType.Name()}[{string.Join(", ", tensor.Shape)}]",
                "Give a batch of the graph's sizes, not shifted.");
        }
        return tensor.ReadLongs();
    }

    private static (double, double) Betas(string text)
    {
        var parts = text.Split(',');
        return parts.Length == 2 && double.TryParse(parts[0], out var a) && double.TryParse(parts[1], out var b) && a is >= 0 and < 1 && b is >= 0 and < 1
            ? (a, b) : throw new HaloException("step", "--betas", "two numbers in [0, 1) as A,B", $"'{text}'", "Write for example --betas 0.9,0.999.");
    }
}
