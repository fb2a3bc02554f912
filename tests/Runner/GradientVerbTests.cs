using System.Text.Json.Nodes;
using Halo.Models.Weights;
using Halo.Tests.Numerics;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Forward graphs on the command line: <c>halo gradient</c>, and the verbs that make a training graph of one themselves.</summary>
public class GradientVerbTests
{
    private const string Model = "llama2-mha";

    [Fact]
    public void With_weights_parameters_have_the_checkpoints_names()
    {
        using var folder = new TemporaryFolder();
        Succeed([.. Gradient("logits-torchscript-opset17.onnx", folder["training.onnx"]), "--weights", ExportFixture.Folder(Model), "--verify",
            "--report", folder["report.json"]]);
        Assert.Equal(["report.json", "training.onnx"], Directory.GetFiles(folder.Path).Select(f => Path.GetFileName(f)!).Order());
        var report = JsonNode.Parse(File.ReadAllText(folder["report.json"]))!;
        Assert.Equal(15, report["linears"]!.AsArray().Count);
        Assert.Contains(report["parameters"]!.AsArray(), p => p!["parameter"]!.GetValue<string>() == "model.layers.0.self_attn.q_proj.weight"
            && p["initializer"]!.GetValue<string>() == "onnx::MatMul_488" && p["transposed"]!.GetValue<bool>());
        Assert.Contains("build-gradient", report["passes"]!.AsArray().Select(p => p!["pass"]!.GetValue<string>()));
        Succeed("step", folder["training.onnx"], "--params", ExportFixture.File(Model, "model.safetensors"),
            "--batch", ExportFixture.File(Model, "expected.safetensors"), "-o", folder["out.safetensors"]);
        using var found = SafetensorsFile.Open(folder["out.safetensors"]);
        using var expected = SafetensorsFile.Open(ExportFixture.File(Model, "expected.safetensors"));
        foreach (var name in expected.Tensors.Keys.Where(n => n == "loss" || n.StartsWith("grad.", StringComparison.Ordinal)))
            Assert.True(RelativeError.Of(found.ReadFloats(name), expected.ReadFloats(name)) <= Tolerances.OtherOperators, name);
    }

    [Fact]
    public void Without_weights_they_keep_the_graphs_and_are_written()
    {
        using var folder = new TemporaryFolder();
        Succeed([.. Gradient("logits-dynamo-sdpa-opset23.onnx", folder["training.onnx"]), "--freeze", "*embed* | *norm*"]);
        Assert.Equal(["training.onnx", "training.safetensors"], Directory.GetFiles(folder.Path).Select(f => Path.GetFileName(f)!).Order());
        Succeed("step", folder["training.onnx"], "--params", folder["training.safetensors"],
            "--batch", ExportFixture.File(Model, "expected.safetensors"), "-o", folder["out.safetensors"]);
        using var found = SafetensorsFile.Open(folder["out.safetensors"]);
        using var expected = SafetensorsFile.Open(ExportFixture.File(Model, "expected.safetensors"));
        Assert.Equal(expected.ReadFloats("loss")[0], found.ReadFloats("loss")[0], Tolerances.OtherOperators);
        Assert.Equal(16, found.Tensors.Count); // the loss, 14 matrices of the layers, and the head
    }

    /// <summary>Killed between the two names, no graph is left beside the weights of another one.</summary>
    [Fact]
    public void A_graph_goes_before_its_weights_do()
    {
        using var folder = new TemporaryFolder();
        var gradient = Gradient("logits-dynamo-sdpa-opset23.onnx", folder["training.onnx"]);
        Succeed(gradient);
        File.Delete(folder["training.safetensors"]);
        Directory.CreateDirectory(folder["training.safetensors/in-the-way"]); // the weights cannot take their name
        Refused(folder, folder["training.safetensors"], gradient);
        Directory.Delete(folder["training.safetensors"], recursive: true);
        Succeed(gradient);
        Assert.Equal(["training.onnx", "training.safetensors"], Directory.GetFiles(folder.Path).Select(f => Path.GetFileName(f)!).Order());
    }

    /// <summary>Rows that hold one document each have the gradients of a graph that knows no documents.</summary>
    [Theory]
    [InlineData("logits-dynamo-opset18.onnx")]
    [InlineData("")]
    public void A_graph_that_is_packed_takes_documents(string form)
    {
        using var folder = new TemporaryFolder();
        string[] source = form.Length == 0 ? [ExportFixture.Folder(Model)] : [ExportFixture.File(Model, form), "--weights", ExportFixture.Folder(Model)];
        Succeed(["gradient", .. source, "-o", folder["training.onnx"], "--batch", "3", "--sequence", "24", "--packing", "documents", "--verify"]);
        using var expected = SafetensorsFile.Open(ExportFixture.File(Model, "expected.safetensors"));
        string[] given = ["input_ids", "attention_mask", "labels"];
        SafetensorsWriter.Write(folder["batch"], [.. given.Select(name => Longs(name, expected.ReadLongs(name))), Longs("document_ids", new long[3 * 24])]);
        Succeed("step", folder["training.onnx"], "--params", ExportFixture.File(Model, "model.safetensors"), "--batch", folder["batch"], "-o", folder["out"]);
        using var found = SafetensorsFile.Open(folder["out"]);
        foreach (var name in expected.Tensors.Keys.Where(n => n == "loss" || n.StartsWith("grad.", StringComparison.Ordinal)))
            Assert.True(RelativeError.Of(found.ReadFloats(name), expected.ReadFloats(name)) <= Tolerances.OtherOperators, name);

        static SafetensorsSource Longs(string name, long[] values) =>
            new(name, Halo.Ir.ElementType.Int64, [3, 24], System.Runtime.InteropServices.MemoryMarshal.AsBytes<long>(values).ToArray());
    }

    [Fact]
    public void What_cannot_be_honoured_is_refused_and_leaves_nothing()
    {
        using var folder = new TemporaryFolder();
        string[] gradient = Gradient("logits-dynamo-opset18.onnx", folder["training.onnx"]);
        Refused(folder, "no initializer equals", [.. gradient, "--weights", ExportFixture.Folder("llama32-tied")]);
        Refused(folder, "patterns that match parameters, found *.bias", [.. gradient, "--freeze", "*.bias"]);
        Refused(folder, "expected batch 4, found 3",
            "gradient", ExportFixture.File(Model, "training-bf16.onnx"), "-o", folder["training.onnx"], "--batch", "4", "--sequence", "24");
        Refused(folder, "--packing documents: expected a graph whose attention is fused", [.. gradient, "--packing", "documents", "--raw"]);
        Refused(folder, "--precision bf16", [.. gradient, "--precision", "bf16", "--verify"]);
        Refused(folder, "--precision: expected fp32, bf16 or fp16, found 'fp8'", [.. gradient, "--precision", "fp8"]);
    }

    /// <summary>The exported joint graph, a forward export and the Hugging Face folder train alike.</summary>
    [Theory]
    [InlineData("logits-dynamo-opset18.onnx")]
    [InlineData("model")]
    public void A_run_takes_any_form_of_the_model(string form)
    {
        using var folder = new TemporaryFolder();
        var joint = TinyChat.Write(folder);
        string[] sizes = ["--micro-batch-size", "3", "--sequence-length", "24"];
        string[] made = ["--model", form == "model" ? folder["model"] : ExportFixture.File(Model, form), "--weights", folder["model"], .. sizes];
        string[] run = ["--data", folder["data.jsonl"], "--learning-rate", "1e-3", "--epochs", "2"];
        Succeed(["train", .. joint, .. run, "-o", folder["joint"]]);
        Succeed(["train", .. made, .. run, "-o", folder["made"]]);
        var (expected, found) = (Losses(folder["joint"]), Losses(folder["made"]));
        Assert.Equal(6, expected.Count);
        Assert.All(expected.Zip(found), p => Assert.Equal(p.First, p.Second, Tolerances.LossesOfTraining));

        string[] eval = ["--data", folder["data.jsonl"], "--scheme", "halo-0", "--format", "int8", "--batch-size", "6"];
        Assert.Equal(Loss(Succeed(["eval", .. joint, .. eval])), Loss(Succeed(["eval", .. made, .. eval])), Tolerances.LossesAfterEpochs);
    }

    private static string[] Gradient(string file, string output) =>
        ["gradient", ExportFixture.File(Model, file), "-o", output, "--batch", "3", "--sequence", "24"];

    private static double Loss(string line) => double.Parse(line.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);

    private static List<double> Losses(string run) => [.. File.ReadLines(Path.Combine(run, "metrics.jsonl")).Select(l => JsonNode.Parse(l)!)
        .Where(r => r["kind"]!.GetValue<string>() == "train").Select(r => r["loss"]!.GetValue<double>())];
}
