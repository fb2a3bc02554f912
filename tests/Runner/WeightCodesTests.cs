using System.Text.Json;

namespace Halo.Tests.Runner;

/// <summary>Codes of weights that are made once for all micro-batches of an update.</summary>
public sealed class WeightCodesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _model;

    public WeightCodesTests() => _model = TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    /// <summary>Three updates of two micro-batches, an evaluation and a stop between them: a code that is not made anew would be that of other weights.</summary>
    [Theory]
    [InlineData("halo-2", "int8")]
    [InlineData("halo-1", "fp8", "--recompute", "feed_forward")]
    [InlineData("halo-0", "fp8", "--recompute", "layer")]
    [InlineData("none", "F=e4m3,e4m3;E=e5m2,e5m2;G=e5m2,e4m3")]
    public void Codes_of_an_update_give_the_bits_of_codes_of_each_micro_batch(string scheme, string format, params string[] options)
    {
        string[] all = ["--scheme", scheme, "--format", format, .. options];
        var each = Train("each", all);
        var once = Train("once", [.. all, "--weight-codes", "update", "--save-every", "2"]);
        Assert.Equal(each.Rows, once.Rows);
        Assert.Equal(each.Model, once.Model);
        Directory.Delete(_folder["once/checkpoints/step-00000003"], recursive: true);
        Directory.Delete(_folder["once/model"], recursive: true);
        HaloConsole.Succeed("train", "--resume", "-o", _folder["once"]);
        Assert.Equal(each.Model, Read("once").Model);
    }

    /// <summary>A byte a weight and a scale are held, and no node of the training graph quantizes a weight.</summary>
    [Fact]
    public void The_plan_counts_what_is_held()
    {
        var (each, once) = (Plan(), Plan("--weight-codes", "update"));
        Assert.False(each.GetProperty("held").TryGetProperty("codes of weights", out _));
        var linear = 2 * ((4 * 64 * 64) + (3 * 64 * 172)); // q, k, v, o; gate, up, down of two layers
        Assert.InRange(once.GetProperty("held").GetProperty("codes of weights").GetInt64(), linear, linear + (2 * 7 * 256));
        Assert.Contains(once.GetProperty("graphs").EnumerateArray(), g => g.GetProperty("name").GetString() == "codes of weights");
        var inGraph = each.GetProperty("held_bytes").GetInt64() + linear;
        Assert.InRange(once.GetProperty("held_bytes").GetInt64(), inGraph, inGraph + 8192);
    }

    [Theory]
    [InlineData("micro_batch with recompute weights", "--scheme", "halo-0", "--format", "fp8", "--recompute", "weights")]
    [InlineData("micro_batch with optimizer_in_backward", "--scheme", "halo-0", "--format", "fp8", "--optimizer-in-backward", "true")]
    [InlineData("weights that are trained, and that products read in 8 bits, found none")]
    [InlineData("weights that are trained, and that products read in 8 bits, found none", "--scheme", "halo-0", "--format", "fp8", "--adapter-kind", "lora")]
    public void What_keeps_no_codes_is_refused(string message, params string[] options)
    {
        var (exitCode, _, error) = HaloConsole.Run([.. Arguments("refused"), .. options, "--weight-codes", "update"]);
        Assert.NotEqual(0, exitCode);
        Assert.Contains(message, error, StringComparison.Ordinal);
    }

    [Fact]
    public void An_artifact_that_makes_codes_again_is_refused()
    {
        HaloConsole.Succeed(["prepare", .. _model, "--scheme", "halo-0", "--format", "fp8", "--rederive", "true", "--recompute", "layer", "-o", _folder["artifact"]]);
        var (exitCode, _, error) = HaloConsole.Run("train", "--model", _folder["artifact"], "--data", _folder["data.jsonl"], "--batch-size", "6", "--weight-codes", "update",
            "-o", _folder["refused"]);
        Assert.NotEqual(0, exitCode);
        Assert.Contains("a graph that makes codes of weights once", error, StringComparison.Ordinal);
    }

    private JsonElement Plan(params string[] options) => JsonDocument.Parse(HaloConsole.Succeed(["plan", .. _model, "--batch-size", "6", "--scheme", "halo-0", "--format",
        "int8", "--json", .. options])).RootElement;

    private string[] Arguments(string run) => ["train", .. _model, "--data", _folder["data.jsonl"], "--valid", _folder["data.jsonl"], "--eval-every", "1", "--batch-size", "6",
        "--steps", "3", "--learning-rate", "1e-2", "--rederive", "true", "-o", _folder[run]];

    private (string[] Rows, byte[] Model) Train(string run, params string[] options)
    {
        HaloConsole.Succeed([.. Arguments(run), .. options]);
        return Read(run);
    }

    private (string[] Rows, byte[] Model) Read(string run) =>
    (
        [.. File.ReadLines(_folder[$"{run}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement).Select(r =>
            $"{r.GetProperty("kind").GetString()} {r.GetProperty("step").GetInt32()} {r.GetProperty("loss").GetRawText()}")],
        File.ReadAllBytes(_folder[$"{run}/model/model.safetensors"])
    );
}
