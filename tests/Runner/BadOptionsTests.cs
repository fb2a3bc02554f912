using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Runner;

/// <summary>Command lines that say what cannot be done.</summary>
public class BadOptionsTests
{
    [Theory]
    [InlineData("--scheme", "halo-7", "scheme: 'halo-7'")]
    [InlineData("--scheme", "", "scheme: ''")]
    [InlineData("--scheme", "F=K;F=N", "scheme:")]
    [InlineData("--scheme", "F=Q", "scheme:")]
    [InlineData("--scheme", "F=K+K", "scheme:")]
    [InlineData("--scheme", "F=", "scheme:")]
    [InlineData("--scheme", "F", "scheme:")]
    [InlineData("--scheme", "1=0", "scheme:")]
    [InlineData("--scheme", ";", "scheme:")]
    [InlineData("--format", "fp9", "'fp9'")]
    [InlineData("--format", "", "format:")]
    [InlineData("--format", "F=e4m3", "format:")]
    [InlineData("--format", "F=e4m3,e4m3,e4m3", "format:")]
    [InlineData("--format", "F=e4m3,none", "format:")]
    [InlineData("--format", "F=e4m3,int8", "format:")]
    [InlineData("--format", "H=e4m3,e4m3", "format:")]
    [InlineData("--format", "F=e4m3,e4m3;F=e4m3,e4m3", "format:")]
    [InlineData("--format", ";=", "format:")]
    [InlineData("--pipeline", "make-it-fast", "'make-it-fast'")]
    [InlineData("--pipeline", "fold-constants{speed=9}", "'speed'")]
    [InlineData("--pipeline", "fold-constants{max-bytes=many}", "max-bytes")]
    [InlineData("--pipeline", "fold-constants{max-bytes=1", "parse-pipeline")]
    [InlineData("--pipeline", "fold-constants,,deduplicate", "parse-pipeline")]
    [InlineData("--pipeline", "quantize-operands", "format")]
    [InlineData("--pipeline", "rotate-operands{scheme=halo-9}", "halo-9")]
    [InlineData("--stop-after", "lunch", "'lunch'")]
    [InlineData("--print-after", "lunch", "'lunch'")]
    [InlineData("--colour", "red", "'--colour'")]
    public void Rewrite_refuses_an_option_it_cannot_honour(string option, string value, string part)
    {
        using var folder = new TemporaryFolder();
        Refused(folder, part, "rewrite", TinyChat.Graph, "-o", folder["out.onnx"], option, value);
        if (option is "--scheme" or "--format" or "--pipeline")
        {
            Refused(folder, value.Length == 0 ? $"option {option}" : part,
                ["train", .. TinyChat.Write(folder), "--data", folder["data.jsonl"], "-o", folder["run"], option, value]);
        }
    }

    [Theory]
    [InlineData("train", "trian")]
    [InlineData("generate", "genrate")]
    [InlineData("--learning-rate", "train", "--lerning-rate", "1")]
    [InlineData("--output", "rewrite", "x.onnx", "--ouput", "y.onnx")]
    [InlineData("training", "bench", "trainig")]
    [InlineData("--device", "bench", "kernels", "--devise", "cpu")]
    public void A_misspelt_word_is_told_the_nearest_one(string meant, params string[] arguments)
    {
        using var folder = new TemporaryFolder();
        Refused(folder, $"Did you mean '{meant}'?", arguments);
    }

    [Fact]
    public void Sizes_that_no_memory_takes()
    {
        using var folder = new TemporaryFolder();
        string[] Gradient(string batch, string sequence) => ["gradient", ExportFixture.File("llama2-mha", "logits-dynamo-opset18.onnx"),
            "-o", folder["out.onnx"], "--batch", batch, "--sequence", sequence];
        Refused(folder, "expected sizes whose tensors fit into memory", Gradient("3", "50000"));
        Refused(folder, "--sequence: expected at most 2147483647", Gradient("3", "10000000000"));
    }

    [Fact]
    public void A_folder_where_a_graph_is_due_says_what_to_do()
    {
        using var folder = new TemporaryFolder();
        var model = Halo.Models.Bundled.LlamaTiny.Folder;
        Refused(folder, "expected a graph (.onnx), found a folder", "rewrite", model, "-o", folder["out.onnx"]);
        Refused(folder, "a Hugging Face folder with a config.json", "eval", "--model", folder.Path, "--data", TinyRun.Data("valid.jsonl"));
        Refused(folder, "a Hugging Face folder with a config.json", "gradient", folder.Path, "-o", folder["out.onnx"], "--batch", "1", "--sequence", "8");
        Refused(folder, "Hugging Face folder, a forward or training graph (.onnx)", "eval", "--model", folder["nowhere"],
            "--data", TinyRun.Data("valid.jsonl"));
        Refused(folder, "found no such file. Check", "eval", "--model", model, "--data", folder["nowhere.jsonl"]);
        Refused(folder, "found neither", "gradient", folder["nowhere"], "-o", folder["out.onnx"], "--batch", "1", "--sequence", "8");
    }

    [Fact]
    public void A_wrong_verb_or_a_missing_option_is_one_message()
    {
        using var folder = new TemporaryFolder();
        Refused(folder, "expected one of rewrite, gradient", "quantise", "--now");
        Refused(folder, "found none");
        Refused(folder, "halo bench: expected one of training, kernels, data, fidelity, found 'speed'", "bench", "speed");
        Message("'quantise'", ["quantise"], HaloProcess.Run("quantise")); // the executable does what Root does
        Refused(folder, "'--output' is required", "rewrite", TinyChat.Graph);
        Refused(folder, "'--params' is required", "step", TinyChat.Graph, "-o", folder["out"]);
        string[] step = ["step", TinyChat.Graph, "--params", "p", "--batch", "b", "-o", "o"];
        Assert.DoesNotContain("System.", Refused(folder, "'three' for option '--steps'", [.. step, "--steps", "three"]), StringComparison.Ordinal);
        Refused(folder, "--betas", [.. step, "--betas", "0.9"]);
        Refused(folder, "'tpu' for option '--device', which takes cpu or cuda", [.. step, "--device", "tpu"]);
        Refused(folder, "'1' for option '--operators', which takes native or functions", [.. step, "--operators", "1"]);
        Refused(folder, "--steps", [.. step, "--steps", "0"]);
        Refused(folder, "--save-params", [.. step, "--save-params", "s"]);
        Refused(folder, "--pipeline", "rewrite", TinyChat.Graph, "-o", folder["out.onnx"], "--pipeline", "fold-constants", "--scheme", "halo-1");
    }

    [Fact]
    public void Train_refuses_settings_it_cannot_honour()
    {
        using var folder = new TemporaryFolder();
        string[] train = ["train", .. TinyChat.Write(folder), "--data", folder["data.jsonl"], "-o", folder["run"]];
        Refused(folder, "cuda", [.. train, "--device", "cuda"]);
        Refused(folder, "cuda", [.. train[1..5].Prepend("prepare"), "-o", folder["artifact"], "--device", "cuda"]);
        Refused(folder, "'tpu'", [.. train, "--device", "tpu"]);
        Refused(folder, "sequence_length", [.. train, "--sequence-length", "48"]);
        Refused(folder, "micro_batch_size", [.. train, "--micro-batch-size", "2"]);
        Refused(folder, "steps", [.. train, "--steps", "0"]);
        Refused(folder, "steps", [.. train, "--steps", "2", "--epochs", "2"]);
        Refused(folder, "at most the 2 steps", [.. train, "--steps", "2", "--warmup-steps", "3"]);
        Refused(folder, "warm", [.. train, "--warmup-steps", "300"]);
        Refused(folder, "--learning-rte", [.. train, "--learning-rte", "1"]);
        Refused(folder, "data", [.. train[..5], "-o", folder["run"]]);
        Refused(folder, "weights", ["train", "--model", folder["training.onnx"], "--data", folder["data.jsonl"], "-o", folder["run"]]);
        Refused(folder, "line 2", [.. train, "--config", folder.File("wrong.yaml", "steps: 1\nlerning_rate: 1e-3\n")]);
        Refused(folder, "valid YAML", [.. train, "--config", folder.File("broken.yaml", "steps: [1\n")]);
        Refused(folder, "YAML", [.. train, "--config", folder["nowhere.yaml"]]);
    }
}
