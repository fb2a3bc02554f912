using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Runner.Data;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;

namespace Halo.Tests.Runner.Export;

/// <summary>Exports whose graph is float16 around coded weights, against those of float32: the same codes, other activations.</summary>
public sealed class Float16ActivationTests : IDisposable
{
    /// <summary>Share of positions at which the most likely token of the float32 graph is among the five most likely of the float16 one.</summary>
    private const double LeastShare = 0.999;

    private const int Positions = 400;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The text of int4 is not compared: so small a model in 4 bits has tokens alike in probability at many a step.</summary>
    [Theory]
    [InlineData("fp8", true)]
    [InlineData("int8", true)]
    [InlineData("int4", false)]
    public void Most_likely_tokens_and_text_are_those_of_float32_activations(string weights, bool isTextSame)
    {
        HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["fp32"], "--weights", weights, "--prompts", "0");
        HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["fp16"], "--weights", weights, "--activations", "fp16", "--prompts", "0");
        Assert.Equal((ElementType.Float, ElementType.Float16),
            (InferenceFolder.Open(_folder["fp32"]).Graph.CacheType, InferenceFolder.Open(_folder["fp16"]).Graph.CacheType));

        string[] prompts = ["--chat", "--prompt", "How many rows does table_1 have?", "--max-tokens", "12"];
        if (isTextSame)
            Assert.Equal(HaloConsole.Succeed(["generate", _folder["fp32"], .. prompts]), HaloConsole.Succeed(["generate", _folder["fp16"], .. prompts]));

        using var expected = InferenceModel.Open(_folder["fp32"], new SessionSettings());
        using var found = InferenceModel.Open(_folder["fp16"], new SessionSettings());
        var rows = ChatDataset.Load(Path.Combine(RepositoryRoot.Path, "runner", "Data", "sql", "valid.jsonl"), expected.Tokenizer, new RowSettings(), 200).Rows;
        var (among, positions) = (0, 0);
        foreach (var ids in rows.Select(r => r.Ids).TakeWhile(_ => positions < Positions))
        {
            using var a = expected.Decoder.Begin([ids]);
            using var b = found.Decoder.Begin([ids]);
            for (var t = 0; t < ids.Length; t++, positions++)
                among += MostLikely(b.Logits(0, t), 5).Contains(MostLikely(a.Logits(0, t), 1)[0]) ? 1 : 0;
        }
        Assert.InRange(among, LeastShare * positions, positions);
    }

    private static int[] MostLikely(ReadOnlySpan<float> logits, int count)
    {
        var values = logits.ToArray();
        return [.. Enumerable.Range(0, values.Length).OrderByDescending(id => values[id]).Take(count)];
    }
}
