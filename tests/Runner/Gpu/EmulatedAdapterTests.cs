using System.Text.Json;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Adapters over a frozen base on the GPU that the CPU emulates.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class EmulatedAdapterTests : IDisposable
{
    private readonly EmulatedGpu _gpu;
    private readonly TemporaryFolder _folder = new();

    public EmulatedAdapterTests(EmulatedGpu gpu)
    {
        _gpu = gpu;
        TinyChat.Write(_folder);
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>What is kept, computed again, given by a gradient or held in both orders: the same bits. Codes in place of numbers: nearly the same losses.</summary>
    [Theory]
    [InlineData("halo-0", "fp8")]
    [InlineData("halo-1", "int8")]
    public void Levers_keep_the_adapters_bits(string scheme, string format)
    {
        string[] options = ["--scheme", scheme, "--format", format, "--precision", "bf16"];
        var plain = Train("plain", options);
        Assert.Equal(plain, Train("again", [.. options, "--recompute", "elementwise", "--transposed-codes", "all"]));
        Assert.Equal(plain, Train("layers", [.. options, "--recompute", "layer"]));
        Train("coded", [.. options, "--recompute", "elementwise", "--saved-codes", "swiglu"]);
        Assert.All(Losses("plain").Zip(Losses("coded")), pair => Assert.Equal(pair.First, pair.Second, 0.02));
        Assert.NotEqual(Losses("plain"), Losses("coded"));
    }

    /// <summary>Sums taken in products and joined factors, in float32 beside the CPU, which does neither.</summary>
    [Theory]
    [InlineData("lora")]
    [InlineData("dora")]
    public void Losses_are_those_of_the_CPU(string kind)
    {
        Train("gpu", ["--scheme", "halo-0", "--format", "int8"], kind);
        HaloConsole.Succeed([.. Arguments("cpu", kind), "--scheme", "halo-0", "--format", "int8"]);
        Assert.All(Losses("cpu").Zip(Losses("gpu")), pair => Assert.Equal(pair.First, pair.Second, Tolerances.FlippedCodesOfWeights * pair.First));
        Train("float", [], kind);
        HaloConsole.Succeed(Arguments("floatcpu", kind));
        Assert.All(Losses("floatcpu").Zip(Losses("float")), pair => Assert.Equal(pair.First, pair.Second, Tolerances.LossesOfTraining));
    }

    private string[] Arguments(string output, string kind) => ["train", "--model", _folder["model"], "--data", _folder["data.jsonl"], "-o", _folder[output],
        "--micro-batch-size", "3", "--sequence-length", "24", "--adapter-kind", kind, "--adapter-rank", "4", "--steps", "3", "--learning-rate", "1e-2"];

    /// <summary>The adapter's file.</summary>
    private byte[] Train(string output, string[] options, string kind = "lora")
    {
        _gpu.Succeed([.. Arguments(output, kind), "--device", "cuda", .. options]);
        return File.ReadAllBytes(_folder[$"{output}/adapter/adapter_model.safetensors"]);
    }

    private double[] Losses(string run) => [.. File.ReadLines(_folder[$"{run}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
        .Where(r => r.GetProperty("kind").GetString() == "train").Select(r => r.GetProperty("loss").GetDouble())];
}
