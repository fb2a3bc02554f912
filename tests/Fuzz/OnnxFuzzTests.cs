using System.Diagnostics;
using System.Globalization;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Fuzz;

/// <summary>Damaged and hostile graphs are shown, rewritten, differentiated, or refused: a <see cref="HaloException"/>, in bounded time and memory.</summary>
/// <remarks>
/// As <see cref="TextReaderFuzzTests"/>: HALO_FUZZ_SECONDS and HALO_FUZZ_SEED make it hours by hand, and HALO_FUZZ_KEEP_GOING=1 lists all failures. Graphs
/// are those of the goldens, a built LLaMA and real exports.
/// </remarks>
public class OnnxFuzzTests
{
    private const double SecondsAFile = 5;
    private const long BytesAFile = 1L << 30;
    private const int Files = 40;
    private static readonly double? Seconds =
        Environment.GetEnvironmentVariable("HALO_FUZZ_SECONDS") is { } text ? double.Parse(text, CultureInfo.InvariantCulture) : null;
    private static readonly int Seed = int.Parse(Environment.GetEnvironmentVariable("HALO_FUZZ_SEED") ?? "20261128", CultureInfo.InvariantCulture);
    private static readonly bool KeepsGoing = Environment.GetEnvironmentVariable("HALO_FUZZ_KEEP_GOING") == "1";

    private static readonly Lazy<IReadOnlyList<byte[]>> Graphs = new(() => [.. Goldens(), .. Built(), .. Exports()]);

    /// <summary>Of those the few that inference can be made of: of the LLaMA its forward graph, of the exports those that give logits.</summary>
    private static readonly Lazy<IReadOnlyList<byte[]>> Forward = new(() => [.. Built().Where((_, i) => i % 3 == 0), .. Exports().Take(3)]);

    [Theory]
    [InlineData("inspect")]
    [InlineData("rewrite")]
    [InlineData("gradient")]
    [InlineData("inference")]
    public void A_changed_graph_is_taken_or_refused(string verb)
    {
        var (graphs, random) = (verb == "inference" ? Forward.Value : Graphs.Value, new Random(Seed));
        var (mutator, bytes) = (new OnnxMutator(random, [.. Graphs.Value.Where(g => g.Length < 1 << 16)]), new Mutator(random, [[0xFF], [0x80, 0x80, 0x01], [0]]));
        var folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), "halo-fuzz", $"onnx-{verb}-{Environment.ProcessId}")).FullName;
        var (count, taken, failures) = (0L, 0L, new Dictionary<string, int>());
        for (var watch = Stopwatch.StartNew(); Seconds is { } limit ? watch.Elapsed.TotalSeconds < limit : count < Files; count++)
        {
            var graph = graphs[random.Next(graphs.Count)];
            var file = random.Next(8) == 0 ? bytes.Change(graph, graphs[random.Next(graphs.Count - 4)]) : mutator.Change(graph);
            var failure = Failure(verb, file, folder, out var wasTaken);
            taken += wasTaken ? 1 : 0;
            if (failure is null)
                continue;
            var place = failure.Split('\n').FirstOrDefault(l => l.Contains("at Halo.", StringComparison.Ordinal))?.Trim() ?? failure.Split('\n')[0];
            failures[place] = failures.GetValueOrDefault(place) + 1;
            if (failures[place] > 1)
                continue;
            var kept = $"{folder}-seed{Seed}-{count}.onnx";
            File.WriteAllBytes(kept, file);
            if (!KeepsGoing)
                Assert.Fail($"{verb}, file {count} of seed {Seed}, kept as {kept}: {failure}");
            Console.WriteLine($"{kept}: {failure}");
        }
        Directory.Delete(folder, recursive: true);
        Console.WriteLine($"onnx {verb}: {count} files, {taken} taken, {failures.Values.Sum()} failures at {failures.Count} places");
        Assert.Empty(failures);
        Assert.True(taken > 0, $"none of {count} taken: the changes are too hard to reach anything");
    }

    private static string? Failure(string verb, byte[] file, string folder, out bool taken)
    {
        var path = Path.Combine(folder, "graph.onnx");
        File.WriteAllBytes(path, file);
        taken = false;
        var least = double.MaxValue;
        for (var left = 3; left > 0 && least > SecondsAFile; left--)
        {
            var (clock, before) = (new WorkClock(), GC.GetAllocatedBytesForCurrentThread());
            try
            {
                Take(verb, path);
                taken = true;
            }
            catch (HaloException e) when (!IsUnforeseen(e)) { /* what is refused */ }
            catch (Exception e) { return e.ToString(); }
            if (GC.GetAllocatedBytesForCurrentThread() - before > BytesAFile)
                return $"{(GC.GetAllocatedBytesForCurrentThread() - before) >> 20} MB";
            least = Math.Min(least, clock.Seconds);
        }
        return least > SecondsAFile ? $"{least:f1} s" : null;
    }

    /// <summary>What only the last net caught, the pass manager: a pass that took for granted what a graph need not have.</summary>
    private static bool IsUnforeseen(HaloException e)
    {
        for (Exception? inner = e; inner is not null; inner = inner.InnerException)
        {
            if (inner is PassException { InnerException: { } cause } && cause is not HaloException and not Microsoft.ML.OnnxRuntime.OnnxRuntimeException
                && !(cause is InvalidOperationException && cause.Message.Contains("cycle", StringComparison.Ordinal)))
                return true;
        }
        return false;
    }

    private static void Take(string verb, string path)
    {
        if (verb == "inspect")
        {
            var model = OnnxReader.Read(path, HaloOperators.Catalogue);
            GraphPrinter.Print(model);
            LinearReport.Line(model.Graph);
            _ = Ledger.Of(model).Rewrites.Count;
            Verifier.Check(model, HaloDomain.Name);
            ShapeInference.Run(model.Graph);
            OnnxWriter.ToBytes(model);
            return;
        }
        var source = SourceGraph.AsItIs(path);
        var tokens = source.Model.Graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.InputIds)?.Shape;
        var passes = verb switch
        {
            "rewrite" => Pipelines.Rewrite(HaloScheme.Parse("halo-2"), GemmFormats.Parse("int8")),
            "gradient" => Pipelines.Gradient(new GradientSettings(Size(tokens, 0, 2), Size(tokens, 1, 6))),
            _ => Pipelines.Inference(64),
        };
        OnnxWriter.ToBytes(GraphRewriter.Rewrite(source, passes).Model);
    }

    private static long Size(Shape? shape, int axis, long otherwise) =>
        shape is { Rank: 2 } && shape[axis].Size is { } size and > 0 and < 100 ? size : otherwise;

    private static IEnumerable<byte[]> Goldens() => Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Golden"), "*.txt", SearchOption.AllDirectories)
        .Where(f => Path.GetFileName(f) is "before.txt" or "after.txt").Order(StringComparer.Ordinal)
        .Select(File.ReadAllText).Where(text => !text.Contains(" hash ", StringComparison.Ordinal)) // a hash stands for a content that is not there
        .Select(text => OnnxWriter.ToBytes(GraphParser.Parse(text, HaloOperators.Catalogue)));

    /// <summary>A LLaMA of one small block: forward, with its gradient, and rewritten.</summary>
    private static IEnumerable<byte[]> Built()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["config.json"], """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 20, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "rope_theta": 1e4,
             "hidden_act": "silu", "tie_word_embeddings": false}
            """);
        var model = LlamaGraph.Build(DecoderConfig.Load(folder["config.json"]), 2, 6);
        var forward = OnnxWriter.ToBytes(model);
        var options = new PassOptions { Evaluator = new OnnxEvaluator() };
        PassManager.Run(model, Pipelines.Differentiate(), options);
        var training = OnnxWriter.ToBytes(model);
        PassManager.Run(model, Pipelines.Rewrite(HaloScheme.Parse("halo-2"), GemmFormats.Parse("int8")), options);
        return Enumerable.Repeat(new[] { forward, training, OnnxWriter.ToBytes(model) }, 20).SelectMany(g => g);
    }

    private static IEnumerable<byte[]> Exports() =>
        new[] { "logits-dynamo-opset18.onnx", "logits-torchscript-opset17.onnx", "logits-dynamo-sdpa-opset23.onnx", "training.onnx" }
            .Select(f => File.ReadAllBytes(ExportFixture.File("llama2-mha", f)));
}
