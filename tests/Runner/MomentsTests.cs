using System.Text.Json;
using Halo.Ir;
using Halo.Models.Weights;

namespace Halo.Tests.Runner;

/// <summary>Moments of 8 bits: checkpoints hold their codes and scales, and a run that was cut goes on to the bit.</summary>
public sealed class MomentsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData]
    [InlineData("--optimizer-in-backward", "true")]
    public void A_cut_run_goes_on_to_the_bit(params string[] options)
    {
        var model = TinyChat.Write(_folder);
        string[] all = [.. options, "--moments", "fp8", "--save-every", "2"];
        HaloConsole.Succeed(Arguments(model, "whole", all));
        HaloConsole.Succeed(Arguments(model, "cut", all));
        Directory.Delete(_folder["cut/checkpoints/step-00000003"], recursive: true);
        Directory.Delete(_folder["cut/model"], recursive: true);
        HaloConsole.Succeed("train", "--resume", "-o", _folder["cut"]);
        foreach (var file in new[] { "model.safetensors", "optimizer.safetensors" })
            Assert.Equal(Read("whole", file), Read("cut", file));
    }

    [Fact]
    public void They_take_little_more_than_two_bytes_and_train_as_well()
    {
        var model = TinyChat.Write(_folder);
        HaloConsole.Succeed(Arguments(model, "float"));
        HaloConsole.Succeed(Arguments(model, "codes", "--moments", "fp8"));
        var ratio = Read("codes", "optimizer.safetensors").Length / (double)Read("float", "optimizer.safetensors").Length;
        Assert.InRange(ratio, 0.25, 0.30); // 2 (1 + 4 / 128) of 8 bytes, and names
        using var moments = SafetensorsFile.Open(_folder["codes/checkpoints/step-00000003/optimizer.safetensors"]);
        Assert.All(moments.Tensors.Values, t => Assert.Equal(t.Name.Contains("_scales.", StringComparison.Ordinal) ? ElementType.Float : ElementType.UInt8,
            t.DType));
        Assert.NotEqual(Read("float", "model.safetensors"), Read("codes", "model.safetensors"));
        var (exact, coded) = (Losses("float"), Losses("codes"));
        Assert.Equal(exact[0], coded[0]); // before the first update
        Assert.InRange(coded[^1], exact[^1] - 0.02, exact[^1] + 0.02);
    }

    [Fact]
    public void Other_moments_than_an_artifact_has_are_refused()
    {
        var model = TinyChat.Write(_folder);
        HaloConsole.Succeed(["prepare", .. model, "-o", _folder["artifact"]]);
        var (exitCode, _, error) = HaloConsole.Run(Arguments(["--model", _folder["artifact"]], "refused", "--moments", "fp8"));
        Assert.NotEqual(0, exitCode);
        Assert.Contains("moments", error, StringComparison.Ordinal);
    }

    private string[] Arguments(string[] model, string output, params string[] options) =>
        ["train", .. model, "--data", _folder["data.jsonl"], "-o", _folder[output], "--steps", "3", "--learning-rate", "1e-2", "--schedule", "constant", .. options];

    private byte[] Read(string run, string file) => File.ReadAllBytes(_folder[$"{run}/checkpoints/step-00000003/{file}"]);

    private double[] Losses(string run) => [.. File.ReadLines(_folder[$"{run}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
        .Where(r => r.GetProperty("kind").GetString() == "train").Select(r => r.GetProperty("loss").GetDouble())];
}
