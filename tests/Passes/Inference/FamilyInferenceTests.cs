using System.Text.Json;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Passes.Infra;
using Halo.Runner.Export;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Inference;

/// <summary>Every family continues prompts as Transformers does, beyond its window, with its cache and without, from whatever graph and folder.</summary>
public class FamilyInferenceTests
{
    private const int Positions = 128;

    public static TheoryData<string, string> Graphs
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var name in FamilyFixture.Names)
            {
                foreach (var origin in FamilyFixture.Exports(name).Where(f => f != "training.onnx").Prepend(Origins.Built))
                    data.Add(name, origin);
            }
            return data;
        }
    }

    public static TheoryData<string> Names => [.. FamilyFixture.Names];

    [Theory]
    [MemberData(nameof(Graphs))]
    public void Prompts_continue_as_in_Transformers(string name, string origin)
    {
        var sequence = origin == Origins.Built ? 6 : 24; // where it is built, fewer tokens than the window has
        var model = Origins.Graph(name, origin, 2, sequence);
        PassManager.Run(model, Pipelines.Inference(Math.Min(Positions, Origins.Config(name).CachedPositions)), Origins.Options(name));
        using var decoder = new CachedDecoder(model, Origins.Checkpoint(name));
        foreach (var (prompt, expected) in Cases(name))
        {
            foreach (var cached in new[] { true, false })
            {
                decoder.Clear();
                Assert.Equal(expected, decoder.Greedy(prompt, expected.Length, cached));
            }
        }
    }

    /// <summary>Out as a Hugging Face folder in shards and in again: every tensor to the bit, and the same continuations, all prompts at once.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void A_folder_written_and_read_again_is_the_same_model(string name)
    {
        using var folder = new TemporaryFolder();
        HuggingFaceExport.Write([FamilyFixture.Folder(name)], FamilyFixture.Folder(name), folder["out"], "model", shardBytes: 200_000);
        using var source = InferenceSource.Open(folder["out"]);
        Assert.True(source.Weights.Files.Count > 1);
        var kept = FamilyFixture.Checkpoint(name);
        Assert.Equal(kept.Keys.Order(), source.Weights.Tensors.Keys.Order());
        Assert.All(kept, t => Assert.True(source.Weights[t.Key].Bytes().SequenceEqual(t.Value.ToBytes()), t.Key));
        var session = GraphSession.Of("inference graph", InferenceProjection.Of(source, rotate: !source.Config.Family.NormsWhatIsAdded), new SessionSettings { Threads = 1 });
        using var decoder = new DecoderSession(session, source.Config.CachedPositions);
        var cases = Cases(name).ToList();
        var found = new Generator(decoder, new SamplingSettings(), new HashSet<int>(), cases[0].Expected.Length)
            .Generate([.. cases.Select(c => Array.ConvertAll(c.Prompt, id => (int)id))]);
        Assert.Equal(cases.Select(c => string.Join(' ', c.Expected)), found.Select(f => string.Join(' ', f.Ids)));
    }

    /// <summary>A head of which half is turned, as in Phi-4-mini, has the logits of the training graph in its cache.</summary>
    [Fact]
    public void Heads_that_are_turned_in_part_decode_as_they_train()
    {
        var config = Origins.Config("phi3-fused") with { HeadDim = 32, RotaryDim = 16 };
        var options = Origins.Options("phi3-fused") with { RotaryTables = positions => RotaryTables.Of(config, positions) };
        var model = LlamaGraph.Build(config, 1, 12);
        PassManager.Run(model, Pipelines.Inference(Positions), options);
        var random = new Random(7);
        var checkpoint = LlamaParameters.Of(config).ToDictionary(p => p.Name, p => Tensor.Floats(p.Shape.Sizes,
            [.. Enumerable.Range(0, (int)p.Shape.ElementCount!.Value).Select(_ => (float)random.NextDouble() - (p.Shape.Rank == 1 ? 0 : 0.5f))]));
        long[] row = [3, 140, 7, 99, 260, 11, 11, 58, 300, 2, 77, 201];
        var forward = Halo.Runner.Sources.EvaluationGraph.Of(LlamaGraph.Build(config, 1, 12));
        var inputs = new Dictionary<string, Tensor>(checkpoint)
        {
            ["input_ids"] = Tensor.Of<long>(ElementType.Int64, [1, 12], row),
            ["labels"] = Tensor.Of<long>(ElementType.Int64, [1, 12], row),
            ["attention_mask"] = Tensor.Of<long>(ElementType.Int64, [1, 12], [.. row.Select(_ => 1L)]),
        };
        var expected = new OnnxEvaluator().Evaluate(forward, inputs)[1].ToArray<float>();
        using var decoder = new CachedDecoder(model, checkpoint);
        var found = decoder.Run([row[..5]])[0].Concat(row[5..].SelectMany(id => decoder.Run([[id]])[0])).SelectMany(l => l).ToArray();
        Assert.InRange(RelativeError.Of(found, expected), 0, Tolerances.OtherOperators);
        var odd = LlamaGraph.Build(config with { RotaryDim = 8 }, 1, 12);
        Assert.Contains("8 of 32", Assert.ThrowsAny<HaloException>(() => PassManager.Run(odd, Pipelines.Inference(Positions), options)).Message);
    }

    internal static IEnumerable<(long[] Prompt, long[] Expected)> Cases(string name)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(FamilyFixture.File(name, "generate-cases.json")));
        foreach (var c in json.RootElement.EnumerateArray())
            yield return (Ids(c, "prompt_ids"), Ids(c, "greedy_ids"));

        static long[] Ids(JsonElement c, string field) => [.. c.GetProperty(field).EnumerateArray().Select(i => i.GetInt64())];
    }
}
