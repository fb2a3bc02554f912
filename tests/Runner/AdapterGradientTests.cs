using System.Runtime.InteropServices;
using Halo.Analysis;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Tests.Models.Adapters;
using Halo.Tests.Numerics;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary><c>halo gradient --adapter</c> and <c>halo step</c>, beside the gradients of the merged model, which are PyTorch's to 1e-5.</summary>
/// <remarks>
/// With G the gradient of W' = g (W + s B A), g = m / |W + s B A| or 1: that of B is s (g G) A^T, that of A s B^T (g G), that of m the sum of a row of
/// G (W + s B A) over the length. The values of PEFT itself are in models/DECISIONS.md.
/// </remarks>
public class AdapterGradientTests
{
    public static TheoryData<string, bool, bool, double> Kinds => new()
    {
        { "model", false, false, 0 },
        { "model", true, false, 0 },
        { "model", false, false, 0.1 }, // RoSA
        { "logits-dynamo-opset18.onnx", false, true, 0 },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void They_are_those_of_the_merged_model(string form, bool dora, bool stabilized, double density)
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        var (model, expected) = (folder["model"], ExportFixture.File(TinyChat.Export, "expected.safetensors"));
        DrawnAdapter.Write(folder["adapter"], new AdapterConfig
        {
            Rank = 3,
            Alpha = 6,
            Dora = dora,
            RankStabilized = stabilized,
            Density = density,
            TargetPattern = AdapterConfig.AllLinear,
            ExcludedPattern = @".*\.1\.mlp\..*",
            RankPattern = [KeyValuePair.Create("layers.0.mlp.up_proj", 2)],
            SavedModules = ["norm"],
        }, model);
        string[] sizes = ["--batch", "3", "--sequence", "24"];
        var source = form == "model" ? model : ExportFixture.File(TinyChat.Export, form);
        Succeed(["gradient", source, "-o", folder["adapted.onnx"], "--weights", model, "--adapter", folder["adapter"], .. sizes]);
        Succeed("step", folder["adapted.onnx"], "--params", model, "--params", folder["adapter"], "--batch", expected, "-o", folder["adapted.safetensors"]);

        using var weights = CheckpointReader.Open(model);
        using var adapter = AdapterFolder.Open(folder["adapter"], weights);
        var merged = AdapterMerge.Of(weights, adapter.Layers, adapter.Tensors);
        SafetensorsWriter.Write(folder["merged.safetensors"],
            [.. merged.Select(t => new SafetensorsSource(t.Key, t.Value.Type, t.Value.Sizes, t.Value.ToBytes()))]);
        Succeed(["gradient", model, "-o", folder["full.onnx"], .. sizes]);
        Succeed("step", folder["full.onnx"], "--params", folder["merged.safetensors"], "--batch", expected, "-o", folder["full.safetensors"]);

        using var found = SafetensorsFile.Open(folder["adapted.safetensors"]);
        using var full = SafetensorsFile.Open(folder["full.safetensors"]);
        Assert.Equal(full.ReadFloats("loss")[0], found.ReadFloats("loss")[0], Tolerances.OtherOperators);
        Assert.Equal(adapter.Layers.Parameters.Select(p => $"grad.{p.Name}").Append("loss").Order(), found.Tensors.Keys.Order());
        foreach (var layer in adapter.Layers.Layers)
        {
            var gradient = full.ReadFloats($"grad.{layer.Module}.weight");
            foreach (var (name, values) in Gradients(layer, gradient, weights.ReadFloats(layer.Module + ".weight"), adapter))
                Assert.True(RelativeError.Of(found.ReadFloats($"grad.{name}"), values) <= Tolerances.OtherOperators, name);
        }
        foreach (var (name, _) in adapter.Layers.Saved)
        {
            var error = RelativeError.Of(found.ReadFloats($"grad.{AdapterNames.Saved(name)}"), full.ReadFloats($"grad.{name}"));
            Assert.True(error <= Tolerances.OtherOperators, name);
        }
    }

    [Fact]
    public void What_cannot_be_honoured_is_refused()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        DrawnAdapter.Write(folder["adapter"], new AdapterConfig { Rank = 2, Alpha = 2, Targets = ["q_proj"] }, folder["model"]);
        string[] gradient = ["gradient", folder["model"], "-o", folder["t.onnx"], "--batch", "3", "--sequence", "24", "--adapter"];
        Refused(folder, "adapter_config.json", [.. gradient, folder["model"]]);
        var graph = ExportFixture.File(TinyChat.Export, "logits-dynamo-opset18.onnx");
        Refused(folder, "--weights with it", ["gradient", graph, .. gradient[2..], folder["adapter"]]);
        var config = Path.Combine(folder["adapter"], AdapterConfig.FileName);
        var text = File.ReadAllText(config);
        File.WriteAllText(config, text.Replace("\"r\": 2", "\"r\": 3", StringComparison.Ordinal));
        Refused(folder, "lora_A.weight': expected floating point values [3, 64]", [.. gradient, folder["adapter"]]);
        File.WriteAllText(config, text.Replace("q_proj", "k_proj", StringComparison.Ordinal));
        Refused(folder, "k_proj.lora_A.weight': expected a tensor [2, 64], found none", [.. gradient, folder["adapter"]]);
    }

    private static IEnumerable<(string Name, float[] Values)> Gradients(AdapterLayer layer, float[] gradient, float[] weight, AdapterFolder adapter)
    {
        var (rows, columns, rank) = ((int)layer.Weight.Sizes[0], (int)layer.Weight.Sizes[1], layer.Rank);
        var (a, b) = (adapter.Tensors[AdapterNames.A(layer.Module)].ReadFloats(), adapter.Tensors[AdapterNames.B(layer.Module)].ReadFloats());
        var m = layer.Dora ? adapter.Tensors[AdapterNames.Magnitude(layer.Module)].ReadFloats() : null;
        var (ofA, ofB, ofM) = (new double[rank * columns], new double[rows * rank], new double[rows]);
        for (var i = 0; i < rows; i++)
        {
            var sum = new double[columns];
            for (var j = 0; j < columns; j++)
            {
                sum[j] = weight[(i * columns) + j];
                for (var k = 0; k < rank; k++)
                    sum[j] += layer.Scale * b[(i * rank) + k] * a[(k * columns) + j];
            }
            var length = m is null ? 1 : Math.Sqrt(sum.Sum(v => v * v));
            var factor = m is null ? 1 : m[i] / length;
            for (var j = 0; j < columns; j++)
            {
                double g = gradient[(i * columns) + j];
                ofM[i] += g * sum[j] / length;
                for (var k = 0; k < rank; k++)
                {
                    ofB[(i * rank) + k] += layer.Scale * factor * g * a[(k * columns) + j];
                    ofA[(k * columns) + j] += layer.Scale * factor * g * b[(i * rank) + k];
                }
            }
        }
        yield return (AdapterNames.A(layer.Module), Array.ConvertAll(ofA, v => (float)v));
        yield return (AdapterNames.B(layer.Module), Array.ConvertAll(ofB, v => (float)v));
        if (layer.Sparse > 0)
        {
            var places = MemoryMarshal.Cast<byte, long>(adapter.Tensors[AdapterNames.Places(layer.Module)].Bytes()).ToArray();
            yield return (AdapterNames.Elements(layer.Module), Array.ConvertAll(places, at => gradient[at]));
        }
        if (m is not null)
            yield return (AdapterNames.Magnitude(layer.Module), Array.ConvertAll(ofM, v => (float)v));
    }
}
