using System.Runtime.InteropServices;
using System.Text.Json;
using Halo.Models.Bundled;
using Halo.Models.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner;

public class StepVerbTests
{
    public static TheoryData<string> Exports => ExportFixture.All;

    [Theory]
    [MemberData(nameof(Exports))]
    public void Loss_and_every_gradient_are_PyTorchs(string name)
    {
        using var folder = new TemporaryFolder();
        HaloConsole.Succeed("step", ExportFixture.File(name, "training.onnx"), "--params", ExportFixture.File(name, "model.safetensors"),
            "--batch", ExportFixture.File(name, "expected.safetensors"), "-o", folder["out.safetensors"]);
        using var found = SafetensorsFile.Open(folder["out.safetensors"]);
        using var expected = SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        var names = expected.Tensors.Keys.Where(n => n == "loss" || n.StartsWith("grad.", StringComparison.Ordinal)).ToList();
        Assert.True(names.Count > 20);
        foreach (var output in names)
            Assert.True(RelativeError.Of(found.ReadFloats(output), expected.ReadFloats(output)) <= Tolerances.SameGraph, output);
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Twenty_updates_follow_PyTorchs_losses(string name)
    {
        using var folder = new TemporaryFolder();
        using var trajectory = JsonDocument.Parse(File.ReadAllText(ExportFixture.File(name, "trajectory.json")));
        var settings = trajectory.RootElement;
        HaloConsole.Succeed("step", ExportFixture.File(name, "training.onnx"), "--params", ExportFixture.File(name, "model.safetensors"),
            "--batch", ExportFixture.File(name, "expected.safetensors"), "-o", folder["out.safetensors"], "--steps", "20",
            "--lr", settings.GetProperty("lr").GetRawText(), "--betas",
            string.Join(',', settings.GetProperty("betas").EnumerateArray().Select(b => b.GetRawText())),
            "--eps", settings.GetProperty("eps").GetRawText(), "--weight-decay", settings.GetProperty("weight_decay").GetRawText(),
            "--clip", settings.GetProperty("clip_grad_norm").GetRawText(), "--save-params", folder["after.safetensors"]);
        using var found = SafetensorsFile.Open(folder["out.safetensors"]);
        var losses = settings.GetProperty("losses").EnumerateArray().Select(l => l.GetSingle()).ToArray();
        Assert.Equal(20, losses.Length);
        Assert.All(found.ReadFloats("losses").Zip(losses), pair => Assert.Equal(pair.Second, pair.First, (float)Tolerances.TwentyUpdates));
        using var before = SafetensorsFile.Open(ExportFixture.File(name, "model.safetensors"));
        using var after = SafetensorsFile.Open(folder["after.safetensors"]);
        Assert.All(before.Tensors.Keys.Where(after.Tensors.ContainsKey),
            p => Assert.InRange(RelativeError.Of(after.ReadFloats(p), before.ReadFloats(p)), 1e-3, 2));
    }

    [Fact]
    public void The_bundled_model_gives_PyTorchs_loss_and_gradient_norms()
    {
        using var folder = new TemporaryFolder();
        LlamaTiny.ExtractTrainingGraph(folder["training.onnx"]);
        var fixtures = ArchiveFixture.Folder("llama-tiny");
        HaloConsole.Succeed("step", folder["training.onnx"], "--params", Path.Combine(LlamaTiny.Folder, "model.safetensors"),
            "--batch", Path.Combine(fixtures, "training-8x256-batch.safetensors"), "-o", folder["out.safetensors"]);
        using var found = SafetensorsFile.Open(folder["out.safetensors"]);
        using var expected = JsonDocument.Parse(File.ReadAllText(Path.Combine(fixtures, "training-8x256-expected.json")));
        Assert.Equal(expected.RootElement.GetProperty("loss").GetDouble(), found.ReadFloats("loss")[0], 12.69 * Tolerances.SameGraph);
        foreach (var norm in expected.RootElement.GetProperty("gradient_norms").EnumerateObject())
        {
            var value = Math.Sqrt(found.ReadFloats(norm.Name).Sum(g => (double)g * g));
            Assert.True(Math.Abs(value / norm.Value.GetDouble() - 1) <= Tolerances.OtherOperators, $"{norm.Name}: {value} against {norm.Value}");
        }
    }

    [Fact]
    public void Wrong_parameters_and_batches_are_refused_and_leave_nothing()
    {
        using var folder = new TemporaryFolder();
        var graph = ExportFixture.File("llama2-mha", "training.onnx");
        var weights = ExportFixture.File("llama2-mha", "model.safetensors");
        var batch = ExportFixture.File("llama2-mha", "expected.safetensors");
        void Refused(string message, params string[] arguments)
        {
            var (exitCode, output, error) = HaloConsole.Run([.. arguments, "-o", folder["out.safetensors"]]);
            Assert.Equal((2, ""), (exitCode, output));
            Assert.Contains(message, error, StringComparison.Ordinal);
            Assert.Empty(Directory.GetFiles(folder.Path, "*out*"));
        }
        using (var source = SafetensorsFile.Open(weights))
        {
            var first = source.Tensors.Values.First();
            var others = source.Tensors.Values.Skip(1).Select(SafetensorsSource.From).ToList();
            SafetensorsWriter.Write(folder["missing.safetensors"], others);
            SafetensorsWriter.Write(folder["type.safetensors"],
                [.. others, new SafetensorsSource(first.Name, Halo.Ir.ElementType.Int32, first.Shape, first.Bytes().ToArray())]);
            SafetensorsWriter.Write(folder["shape.safetensors"],
                [.. others, new SafetensorsSource(first.Name, first.DType, [first.ElementCount], first.Bytes().ToArray())]);
        }
        File.WriteAllBytes(folder["cut.safetensors"], File.ReadAllBytes(weights)[..^100]);
        Refused("no such tensor", "step", graph, "--params", folder["missing.safetensors"], "--batch", batch);
        Refused("found int32", "step", graph, "--params", folder["type.safetensors"], "--batch", batch);
        Refused("expected float32", "step", graph, "--params", folder["shape.safetensors"], "--batch", batch);
        Refused("cut.safetensors", "step", graph, "--params", folder["cut.safetensors"], "--batch", batch);
        Refused("input_ids", "step", graph, "--params", weights, "--batch", weights);
        Refused("bfloat16", "step", ExportFixture.File("llama2-mha", "training-bf16.onnx"), "--params", weights, "--batch", batch);
        Refused("expected an output 'loss'", "step", ExportFixture.File("llama2-mha", "logits-dynamo-opset18.onnx"), "--params", weights, "--batch", batch);
        Refused("no such file", "step", folder["nowhere.onnx"], "--params", weights, "--batch", batch);
        Refused("Option '--params' is required", "step", graph, "--batch", batch);
    }

    /// <summary>PyTorch refuses these; a graph's GatherElements takes -1 as the last token.</summary>
    [Theory]
    [MemberData(nameof(Exports))]
    public void A_batch_is_checked_before_it_runs(string name)
    {
        using var folder = new TemporaryFolder();
        var (graph, weights) = (ExportFixture.File(name, "training.onnx"), ExportFixture.File(name, "model.safetensors"));
        HaloConsole.Succeed("rewrite", graph, "-o", folder["halo.onnx"], "--scheme", "halo-2", "--format", "int8", "--rederive");
        using var batch = SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        var shape = batch.Tensors["labels"].Shape;
        var (place, last) = ((int)(shape[1] + 2), batch.Tensors.Values.Where(t => t.Name.Contains("embed", StringComparison.Ordinal)).Max(t => t.Shape[0]));
        (string Input, Func<long, long> Change, string Message)[] wrong =
        [
            ("labels", _ => -1, "'labels', row 1, token 2 (both from 0): expected -100, or an id from 0 to"),
            ("labels", _ => last, $"to {last - 1}, found {last}"),
            ("input_ids", _ => -1, "'input_ids', row 1, token 2 (both from 0): expected an id from 0 to"),
            ("input_ids", _ => last, $"to {last - 1}, found {last}"),
            ("attention_mask", _ => 2, "'attention_mask', row 1, token 2 (both from 0): expected 0 or 1, found 2"),
        ];
        foreach (var form in (string[])[graph, folder["halo.onnx"]])
        {
            foreach (var (input, change, message) in wrong)
                Refused(message, form, Changed(input, (value, n) => n == place ? change(value) : value));
            Refused("a label that counts", form, Changed("labels", (_, _) => -100));
        }

        string Changed(string input, Func<long, int, long> change)
        {
            var path = folder["batch.safetensors"];
            var sources = from tensor in (string[])["input_ids", "attention_mask", "labels"]
                          let values = batch.ReadLongs(tensor).Select((v, n) => tensor == input ? change(v, n) : v).ToArray()
                          select new SafetensorsSource(tensor, Halo.Ir.ElementType.Int64, shape, MemoryMarshal.AsBytes<long>(values).ToArray());
            SafetensorsWriter.Write(path, [.. sources]);
            return path;
        }

        void Refused(string message, string form, string path)
        {
            string[] arguments = ["step", form, "--params", weights, "--batch", path, "-o", folder["out.safetensors"]];
            HaloConsole.Message(message, arguments, HaloConsole.Run(arguments));
            Assert.False(File.Exists(folder["out.safetensors"]));
        }
    }
}
