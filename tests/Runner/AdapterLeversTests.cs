using System.Text.Json;
using Halo.Tests.Numerics;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>What saves memory, where an adapter is trained over a frozen base.</summary>
public sealed class AdapterLeversTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public AdapterLeversTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Those_that_keep_values_keep_the_adapters_bits()
    {
        var plain = Train("plain");
        Assert.Equal(plain, Train("updated", "--optimizer-in-backward", "true", "--recompute", "weights"));
        Assert.Equal(plain, Train("turned", "--transposed-codes", "all", "--valid", _folder["data.jsonl"], "--eval-every", "2"));
        Assert.Equal(plain, Train("again", "--recompute", "layer", "--transposed-codes", "20KiB"));
        Assert.Equal(plain, Train("mixed", "--recompute", "mixed", "--recompute-layers", "1"));
    }

    [Fact]
    public void Those_that_change_values_a_little_train_it()
    {
        Train("plain");
        Train("coded", "--saved-codes", "all", "--moments", "fp8", "--optimizer-in-backward", "true");
        var (plain, coded) = (Losses("plain"), Losses("coded"));
        Assert.InRange(coded[^1], plain[^1] - 0.02, plain[^1] + 0.02);
        Assert.NotEqual(plain, coded);
    }

    [Fact]
    public void Rows_that_share_a_row_of_the_graph_train_the_adapter_that_others_do()
    {
        string[] options = ["train", "--model", _folder["model"], "--data", _folder["data.jsonl"], "--micro-batch-size", "2", "--sequence-length", "24",
            "--batch-size", "6", "--adapter-kind", "lora", "--adapter-rank", "4", "--steps", "3", "--learning-rate", "1e-2"];
        Succeed([.. options, "-o", _folder["apart"]]);
        Succeed([.. options, "-o", _folder["packed"], "--packing", "documents"]);
        Assert.All(Losses("apart").Zip(Losses("packed")), pair => Assert.Equal(pair.First, pair.Second, Tolerances.LossesOfTraining));
    }

    /// <summary>The adapter's file.</summary>
    private byte[] Train(string output, params string[] options)
    {
        Succeed(["train", "--model", _folder["model"], "--data", _folder["data.jsonl"], "-o", _folder[output], "--micro-batch-size", "3", "--sequence-length", "24",
            "--adapter-kind", "lora", "--adapter-rank", "4", "--scheme", "halo-0", "--format", "int8", "--steps", "4", "--learning-rate", "1e-2", .. options]);
        return File.ReadAllBytes(_folder[$"{output}/adapter/adapter_model.safetensors"]);
    }

    private double[] Losses(string run) => [.. File.ReadLines(_folder[$"{run}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
        .Where(r => r.GetProperty("kind").GetString() == "train").Select(r => r.GetProperty("loss").GetDouble())];
}
