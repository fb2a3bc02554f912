using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.CustomOps;
using Halo.Io;
using Halo.Models.Bundled;
using Halo.Runner.Generation;
using Halo.Serialization;

namespace Halo.Tests.Runner.Export;

/// <summary><c>halo export</c> of the bundled model: what it writes, what it measures, and what it refuses.</summary>
public sealed class ExportVerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, double> Agreements => new() { { "fp32", 1 }, { "fp16", 0.995 }, { "int8", 0.97 }, { "fp8", 0.9 }, { "int4", 0.6 } };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Agreements))]
    public void A_folder_is_whole_and_says_how_far_it_is_from_the_model(string weights, double agreement)
    {
        var output = HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["out"], "--weights", weights, "--data", Valid(24), "--prompts", "3");
        Assert.Equal(_folder["out"], output.Trim());

        var folder = InferenceFolder.Open(_folder["out"]);
        Assert.Equal((2048, 4, 1024), (folder.Graph.Vocabulary, folder.Graph.Layers, folder.MaxPositions));
        Assert.False(folder.Graph.UsesHaloOperators);
        Assert.Equal([1, 4], folder.GenAi.Model.EosTokenId.Order());
        var parity = Parity();
        Assert.InRange(parity.GetProperty("validation").GetProperty("top1_agreement").GetDouble(), agreement, 1);
        Assert.Equal(24, File.ReadAllLines(Valid(24)).Length);
        Assert.InRange(parity.GetProperty("validation").GetProperty("kl").GetDouble(), weights == "fp32" ? 0 : 1e-8, 0.5);
        Assert.Empty(parity.GetProperty("out_of_bounds").EnumerateArray());
        Assert.True(parity.GetProperty("cached").GetProperty("positions").GetInt64() > 100);
    }

    /// <summary>Transformers stops by generation_config.json alone: the mark of the template's end of turn, which the model learned, is in it.</summary>
    [Fact]
    public void A_hugging_face_folder_stops_where_its_template_ends_a_turn()
    {
        var model = Directory.CreateDirectory(_folder["model"]).FullName;
        foreach (var file in Directory.GetFiles(LlamaTiny.Folder).Where(f => Path.GetFileName(f) != "generation_config.json"))
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(model, "config.json")))!;
        config["eos_token_id"] = 1;
        File.WriteAllText(Path.Combine(model, "config.json"), config.ToJsonString());
        HaloConsole.Succeed("export", model, "-o", _folder["out"], "--to", "hf", "--prompts", "0");
        Assert.Equal("[1,4]", JsonNode.Parse(File.ReadAllText(_folder["out/generation_config.json"]))!["eos_token_id"]!.ToJsonString());
    }

    /// <summary>Also where nothing is compared.</summary>
    [Theory]
    [InlineData("hf")]
    [InlineData("onnx")]
    public void Weights_that_are_not_finite_are_not_exported(string to)
    {
        var model = Directory.CreateDirectory(_folder["model"]).FullName;
        foreach (var file in Directory.GetFiles(LlamaTiny.Folder))
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        var weights = Path.Combine(model, "model.safetensors");
        var bytes = File.ReadAllBytes(weights);
        bytes[^1] = bytes[^2] = 0xFF; // a NaN in bfloat16 and float32
        File.WriteAllBytes(weights, bytes);
        var (exitCode, _, error) = HaloConsole.Run("export", model, "-o", _folder["out"], "--to", to, "--prompts", "0");
        Assert.Equal(2, exitCode);
        Assert.Contains("expected finite values, found NaN at element", error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["out"]));
    }

    [Fact]
    public void Rotations_in_the_weights_leave_the_function_as_it_is()
    {
        // fp32 has the bounds of sums in another order: what a wrong rotation does is far beyond them.
        HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["out"], "--rotate", "--data", Valid(8), "--prompts", "2");
        Assert.InRange(Parity().GetProperty("validation").GetProperty("max_difference").GetDouble(), 1e-7, 1e-2);
    }

    [Fact]
    public void Int4_of_a_model_with_outliers_is_better_with_rotations()
    {
        Directory.CreateDirectory(_folder["outliers"]);
        foreach (var name in (string[])["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"])
            File.Copy(Path.Combine(LlamaTiny.Folder, name), Path.Combine(_folder["outliers"], name));
        OutlierVariant.Write(Path.Combine(_folder["outliers"], "model.safetensors"));
        Assert.True(Int4(_folder["outliers"], "--rotate").Divergence < 0.9 * Int4(_folder["outliers"]).Divergence);
    }

    [Fact]
    public void Int4_is_better_with_calibration_over_rows_of_a_file()
    {
        var (alone, _) = Int4(LlamaTiny.Folder);
        var (calibrated, said) = Int4(LlamaTiny.Folder, "--calibrate", "--calibration-data", Rows("train", 16));
        Assert.InRange(calibrated, 0, 0.5 * alone); // 0.042 of 0.189 nats
        Assert.Contains("calibrate over the first 16 rows of train-16.jsonl", said, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_data_the_model_writes_the_rows_of_calibration()
    {
        var said = HaloConsole.Run("export", LlamaTiny.Folder, "-o", _folder["out"], "--weights", "int4", "--calibrate", "--prompts", "0").Error;
        Assert.Contains("calibrate over 128 rows of 129 tokens that the model wrote", said, StringComparison.Ordinal);
        Assert.Contains("not compared", said, StringComparison.Ordinal);
        Assert.False(InferenceFolder.Open(_folder["out"]).Graph.UsesHaloOperators);
    }

    [Theory]
    [InlineData("missing.jsonl", null, "missing.jsonl")]
    [InlineData("empty.jsonl", "", "empty.jsonl")]
    [InlineData("text.jsonl", "no JSON\n", "text.jsonl, line 1")]
    public void Calibration_rows_that_cannot_be_read_are_refused(string name, string? content, string part)
    {
        if (content is not null)
            _folder.File(name, content);
        HaloConsole.Refused(_folder, part,
            "export", LlamaTiny.Folder, "-o", _folder["out"], "--weights", "int4", "--calibrate", "--calibration-data", _folder[name]);
    }

    [Theory]
    [InlineData("float", 1)]
    [InlineData("int8", 4)]
    public void Activations_are_what_codes_are_multiplied_by(string activations, long level)
    {
        HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["out"], "--weights", "int8", "--activations", activations, "--prompts", "0");
        var products = OnnxReader.Read(_folder["out/model.onnx"], HaloOperators.Catalogue).Graph.Nodes.Where(n => n.OpType == "MatMulNBits").ToList();
        Assert.Equal(29, products.Count); // 4 layers of 7, and the head
        Assert.All(products, product => Assert.Equal(level, product.Int("accuracy_level", 0)));
    }

    [Fact]
    public void Without_data_the_model_writes_the_rows_that_are_compared()
    {
        HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["out"], "--prompts", "2");
        Assert.Contains("2 rows of 65 tokens that the model wrote", Parity().GetProperty("prompts").GetString(), StringComparison.Ordinal);
        Assert.Equal(130, Parity().GetProperty("exported").GetProperty("positions").GetInt64());
        Assert.False(Parity().TryGetProperty("validation", out _));
    }

    [Fact]
    public void A_Hugging_Face_folder_comes_back_as_the_same_model()
    {
        HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["out"], "--to", "hf", "--data", Valid(8));
        Assert.Equal(0, Parity().GetProperty("exported").GetProperty("max_difference").GetDouble());
        Assert.Equal("bf16", Parity().GetProperty("weights").GetString());
        Assert.Equal(File.ReadAllBytes(Path.Combine(LlamaTiny.Folder, "tokenizer.json")), File.ReadAllBytes(_folder["out/tokenizer.json"]));

        HaloConsole.Succeed("export", LlamaTiny.Folder, "-o", _folder["half"], "--to", "hf", "--weights", "fp16", "--data", Valid(8));
        Assert.Equal("float16", JsonDocument.Parse(File.ReadAllText(_folder["half/config.json"])).RootElement.GetProperty("dtype").GetString());
    }

    [Fact]
    public void A_bound_that_is_broken_is_exit_code_1_and_leaves_nothing()
    {
        var (exitCode, _, error) = HaloConsole.Run(
            "export", LlamaTiny.Folder, "-o", _folder["out"], "--weights", "int4", "--data", Valid(8), "--min-agreement", "0.9999");
        Assert.Equal(1, exitCode);
        Assert.Contains("top-1 agreement of at least 99.99 %", error, StringComparison.Ordinal);
        Assert.Contains("not written", error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["out"]));
    }

    [Theory]
    [InlineData("'bf3'", "--weights", "bf3")]
    [InlineData("bf16", "--weights", "bf16")]
    [InlineData("int8", "--weights", "int8", "--to", "hf")]
    [InlineData("rotated ones", "--rotate", "--to", "hf")]
    [InlineData("'gguf'", "--to", "gguf")]
    [InlineData("-1", "--prompts", "-1")]
    [InlineData("-2", "--threads", "-2")]
    [InlineData("97", "--min-agreement", "97")]
    [InlineData("-0.5", "--max-kl", "-0.5")]
    [InlineData("none named", "--activations", "int8")]
    [InlineData("fp32", "--activations", "float", "--weights", "fp32")]
    [InlineData("fp16", "--activations", "int8", "--weights", "fp16")]
    [InlineData("int8", "--activations", "int8", "--weights", "fp8")]
    [InlineData("fp32", "--activations", "fp16", "--weights", "fp32")]
    [InlineData("'int4'", "--activations", "int4", "--weights", "int4")]
    [InlineData("none named", "--calibrate")]
    [InlineData("fp16", "--calibrate", "--weights", "fp16")]
    [InlineData("none", "--calibration-data", "rows.jsonl", "--weights", "int4")]
    [InlineData("NaN", "--min-agreement", "NaN")]
    public void Wrong_options_are_refused_with_what_was_found(string found, params string[] options)
    {
        var message = HaloConsole.Refused(_folder, $"found {found}.", ["export", LlamaTiny.Folder, "-o", _folder["out"], .. options]);
        Assert.Contains($"export: {options[0]}: expected ", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Somebody_elses_folder_is_not_written_over()
    {
        Directory.CreateDirectory(_folder["out"]);
        File.WriteAllText(Path.Combine(_folder["out"], "thesis.txt"), "x");
        var (exitCode, _, error) = HaloConsole.Run("export", LlamaTiny.Folder, "-o", _folder["out"]);
        Assert.Equal(2, exitCode);
        Assert.Contains("a new or empty folder, or one that Halo wrote", error, StringComparison.Ordinal);
        Assert.Equal(["thesis.txt"], Directory.GetFiles(_folder["out"]).Select(Path.GetFileName));
    }

    /// <summary>What took hours to train is not replaced by an export of it.</summary>
    [Theory]
    [InlineData("run")]
    [InlineData("checkpoint")]
    [InlineData("model")]
    public void A_folder_of_Halo_of_another_kind_is_not_written_over(string kind)
    {
        OwnedFolder.Mark(_folder["out"], kind);
        HaloConsole.Refused(_folder, $"as 'inference', which is replaced, found one that it wrote as '{kind}'",
            "export", LlamaTiny.Folder, "-o", _folder["out"]);
        if (kind != "model")
            HaloConsole.Refused(_folder, $"found one that it wrote as '{kind}'", "export", LlamaTiny.Folder, "-o", _folder["out"], "--to", "hf");
    }

    [Fact]
    public void Another_models_tokenizer_is_refused_where_it_lies()
    {
        foreach (var name in (string[])["config.json", "generation_config.json", "tokenizer_config.json", "model.safetensors"])
            File.Copy(Path.Combine(LlamaTiny.Folder, name), _folder[name]);
        var tokenizer = JsonNode.Parse(File.ReadAllText(Path.Combine(LlamaTiny.Folder, "tokenizer.json")))!;
        var beyond = tokenizer["added_tokens"]![0]!.DeepClone();
        (beyond["id"], beyond["content"]) = (4000, "<|beyond|>");
        tokenizer["added_tokens"]!.AsArray().Add(beyond);
        File.WriteAllText(_folder["tokenizer.json"], tokenizer.ToJsonString());
        HaloConsole.Refused(_folder, $"{_folder["tokenizer.json"]}: expected at most 2048 ids", "export", _folder.Path, "-o", _folder["out"]);
    }

    [Fact]
    public void What_is_no_model_is_refused()
    {
        const string Expected = "expected a run, an artifact, or a Hugging Face folder with a config.json, found ";
        HaloConsole.Refused(_folder, Expected + "no such folder", "export", _folder["nothing"], "-o", _folder["out"]);
        Directory.CreateDirectory(_folder["served"]);
        OwnedFolder.Mark(_folder["served"], InferenceFolder.Kind);
        HaloConsole.Refused(_folder, Expected + "an inference folder of halo export", "export", _folder["served"], "-o", _folder["out"]);
    }

    private JsonElement Parity() => JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder["out"], "parity.json"))).RootElement;

    /// <summary>An export in int4: its KL over validation rows, and what it said.</summary>
    private (double Divergence, string Said) Int4(string model, params string[] more)
    {
        string[] export = ["export", model, "-o", _folder["out"], "--weights", "int4", "--data", Valid(24), "--prompts", "1"];
        var (exitCode, _, error) = HaloConsole.Run([.. export, "--min-agreement", "0", "--max-kl", "9", .. more]);
        Assert.True(exitCode == 0, error);
        return (Parity().GetProperty("validation").GetProperty("kl").GetDouble(), error);
    }

    private string Valid(int rows) => Rows("valid", rows);

    /// <summary>The first rows of a bundled file.</summary>
    private string Rows(string name, int rows)
    {
        var path = _folder[$"{name}-{rows}.jsonl"];
        File.WriteAllLines(path, File.ReadLines(TinyRun.Data($"{name}.jsonl")).Take(rows));
        return path;
    }
}
