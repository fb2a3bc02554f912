using System.Text.Json;
using Halo.Models.Weights;
using Halo.Passes.Training;
using Halo.Runner.Training.Engine;
using Halo.Tests.Numerics;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Training of some rows of each weight at a time (EfQAT).</summary>
public sealed class ChosenRowsTests : IDisposable
{
    private static readonly string[] Sizes = ["--micro-batch-size", "3", "--sequence-length", "24"];

    private readonly TemporaryFolder _folder = new();

    public ChosenRowsTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    /// <summary>After one update from zero moments a weight moves by the sign of its gradient: the rows that moved, and how, are those of full training.</summary>
    [Theory]
    [InlineData("none", "none")]
    [InlineData("halo-0", "fp8")]
    public void The_rows_of_the_largest_magnitude_are_updated_as_in_full_training_and_no_others(string scheme, string format)
    {
        string[] options = ["--scheme", scheme, "--format", format, "--steps", "1"];
        Succeed(Train("rows", ["--adapter-kind", "efqat", "--adapter-rows", "0.25", .. options]));
        Succeed(Train("full", options));
        using var before = CheckpointReader.Open(_folder["model"]);
        using var rows = SafetensorsFile.Open(_folder["rows/checkpoints/step-00000001/model.safetensors"]);
        using var full = SafetensorsFile.Open(_folder["full/checkpoints/step-00000001/model.safetensors"]);
        foreach (var weight in before.Tensors.Values)
        {
            var (start, mine, whole) = (weight.ReadFloats(), rows.ReadFloats(weight.Name), full.ReadFloats(weight.Name));
            if (!weight.Name.EndsWith("proj.weight", StringComparison.Ordinal))
            {
                Assert.True(RelativeError.Of(mine, whole) <= Tolerances.OtherOperators, weight.Name);
                continue;
            }
            var columns = (int)weight.Shape[1];
            var chosen = ChosenRows.Largest(start, Halo.Ir.Shape.Of([.. weight.Shape]), (int)weight.Shape[0] / 4).ToHashSet();
            for (var row = 0; row < weight.Shape[0]; row++)
            {
                var at = (row * columns)..((row + 1) * columns);
                if (!chosen.Contains(row))
                    Assert.Equal(start[at], mine[at]);
                else if (format == "none")
                    Assert.True(RelativeError.Of(mine[at], whole[at]) <= Tolerances.OtherOperators, $"{weight.Name} {row}");
                else // rows share a scale with fewer others
                    Assert.NotEqual(start[at], mine[at]);
            }
        }
    }

    [Fact]
    public void A_run_that_is_gone_on_with_chooses_the_rows_of_one_that_was_not_stopped()
    {
        string[] options = ["--adapter-kind", "efqat", "--adapter-rows", "0.3", "--adapter-every", "2", "--scheme", "halo-2", "--format", "int8", "--steps", "6",
            "--save-every", "3", "--batch-size", "6", "--learning-rate", "1e-2"];
        Succeed(Train("whole", options));
        Succeed(Train("stopped", options));
        Directory.Delete(_folder["stopped/checkpoints/step-00000006"], recursive: true);
        Succeed("train", "--resume", "-o", _folder["stopped"]);
        Assert.Equal(Losses("whole"), Losses("stopped"));
        Assert.True(Losses("whole")[^1] < Losses("whole")[0]);
        foreach (var file in new[] { "model.safetensors", "optimizer.safetensors" })
            Assert.Equal(File.ReadAllBytes(_folder[$"whole/checkpoints/step-00000006/{file}"]), File.ReadAllBytes(_folder[$"stopped/checkpoints/step-00000006/{file}"]));
        using var moments = SafetensorsFile.Open(_folder["whole/checkpoints/step-00000006/optimizer.safetensors"]);
        Assert.Equal(14, moments.Tensors.Keys.Count(n => n.StartsWith(ChooseRows.Prefix, StringComparison.Ordinal)));
        Assert.Equal(19, moments.Tensors["exp_avg.model.layers.0.self_attn.q_proj.weight"].Shape[0]); // of 64
        Succeed("eval", "--model", _folder["whole"], "--data", _folder["data.jsonl"]);
    }

    private string[] Train(string output, string[] more) =>
        ["train", "--model", _folder["model"], "--data", _folder["data.jsonl"], "-o", _folder[output], .. Sizes,
        .. more.Contains("--learning-rate") ? Array.Empty<string>() : ["--learning-rate", "1e-3"], .. more];

    private List<double> Losses(string run) => [.. File.ReadLines(_folder[$"{run}/metrics.jsonl"]).Select(l => JsonDocument.Parse(l).RootElement)
        .Where(r => r.GetProperty("kind").GetString() == "train").Select(r => r.GetProperty("loss").GetDouble())];
}
