using System.Buffers.Binary;
using System.Text.Json.Nodes;
using Halo.Models.Bundled;
using Halo.Models.Tokenizers;
using Halo.Models.Weights;
using Halo.Tests.Models;

namespace Halo.Tests.Runner.Generation;

public sealed class GenerateVerbTests
{
    private static readonly HfTokenizer Tokenizer = HfTokenizer.Load(LlamaTiny.Folder);

    private static readonly List<(string Prompt, int[] Ids, int[] Greedy)> All =
    [
        .. Fixture.Json("generate-cases.json").EnumerateArray().Select(c => (c.GetProperty("prompt").GetString()!, Fixture.Ints(c.GetProperty("prompt_ids")),
            Fixture.Ints(c.GetProperty("greedy_ids")))),
    ];

    public static TheoryData<int> Cases => [.. Enumerable.Range(0, All.Count)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_completion_is_that_of_Transformers(int n)
    {
        var (prompt, ids, greedy) = All[n];
        Assert.Equal(ids, (int[])[0, .. Tokenizer.Encode(prompt, addSpecialTokens: false)]);
        var output = HaloConsole.Succeed("generate", InferenceFixture.Folder, "--prompt", prompt, "--max-tokens", $"{greedy.Length}");
        Assert.Equal(Tokenizer.Decode(greedy, skipSpecialTokens: true) + Environment.NewLine, output);
    }

    /// <summary>A program that knows ONNX Runtime alone writes the same ids.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void A_plain_program_generates_the_same(int n)
    {
        var (_, ids, greedy) = All[n];
        string[] prompt = [.. ids.Select(id => $"{id}")];
        Assert.Equal([string.Join(' ', greedy)], OtherProgram.Run(OtherProgram.Plain, [InferenceFixture.Folder, $"{greedy.Length}", .. prompt]));
    }

    /// <summary>ONNX Runtime GenAI loads the folder, encodes text to the same ids, though without BOS, and writes the same.</summary>
    [WithGenAi]
    [MemberData(nameof(Cases))]
    public void GenAI_generates_the_same(int n)
    {
        var (text, ids, greedy) = All[n];
        string[] prompt = [.. ids.Select(id => $"{id}")];
        Assert.Equal([string.Join(' ', ids.Skip(1)), string.Join(' ', greedy)],
            OtherProgram.Run(OtherProgram.GenAi, [InferenceFixture.Folder, $"{greedy.Length}", text, .. prompt]));
    }

    [Fact]
    public void A_model_of_one_layer_generates_and_one_that_is_broken_names_the_tensor()
    {
        using var folder = new TemporaryFolder();
        TinyChat.Write(folder);
        var (config, weights) = (folder["model/config.json"], folder["model/model.safetensors"]);
        var json = JsonNode.Parse(File.ReadAllText(config))!;
        json["num_hidden_layers"] = 1;
        File.WriteAllText(config, json.ToJsonString());
        using (var all = SafetensorsFile.Open(weights))
        {
            SafetensorsWriter.Write(folder["one"], [.. all.Tensors.Values.Where(t => !t.Name.StartsWith("model.layers.1.", StringComparison.Ordinal))
                .Select(t => SafetensorsSource.From(t.Name, t.DType, t.Shape, t.ReadFloats()))]);
        }
        File.Move(folder["one"], weights, overwrite: true);
        string[] generate = ["generate", folder["model"], "--prompt", "1", "--max-tokens", "3"];
        var text = HaloConsole.Succeed(generate);
        HaloConsole.Succeed("export", folder["model"], "-o", folder["served"], "--prompts", "1");
        Assert.Equal(text, HaloConsole.Succeed(["generate", folder["served"], .. generate[2..]]));

        var bytes = File.ReadAllBytes(weights);
        BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(bytes.Length - 4), float.NaN);
        File.WriteAllBytes(weights, bytes);
        HaloConsole.Refused(folder, "finite values, found NaN at element", generate);
    }

    [Fact]
    public void Several_prompts_stand_under_a_line_each()
    {
        var (first, second) = (All[0], All[1]);
        var output = HaloConsole.Succeed("generate", InferenceFixture.Folder, "--prompt", first.Prompt, "--prompt", second.Prompt, "--max-tokens", "32");
        Assert.Equal($"""
            --- 1: "def main("
            {Tokenizer.Decode(first.Greedy, skipSpecialTokens: true)}
            --- 2: "import numpy as np\n"
            {Tokenizer.Decode(second.Greedy, skipSpecialTokens: true)}

            """, output);
    }

    [Fact]
    public void The_cache_changes_nothing()
    {
        string[] arguments =
        [
            "generate", InferenceFixture.Folder, "--prompt", "class ", "--temperature", "0.8", "--top-k", "40", "--top-p", "0.9", "--seed", "3",
            "--max-tokens", "24",
        ];
        var cached = HaloConsole.Succeed(arguments);
        Assert.Equal(cached, HaloConsole.Succeed([.. arguments, "--no-cache"]));
        Assert.Equal(cached, HaloConsole.Succeed(arguments));
        arguments[^3] = "4";
        Assert.NotEqual(cached, HaloConsole.Succeed(arguments));
    }

    [Fact]
    public void A_chat_prompt_is_rendered_by_the_template()
    {
        var rendered = "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
        Assert.Equal(HaloConsole.Succeed("generate", InferenceFixture.Folder, "--prompt", rendered, "--max-tokens", "8"),
            HaloConsole.Succeed("generate", InferenceFixture.Folder, "--prompt", "Why?", "--chat", "--max-tokens", "8"));
    }

    [Theory]
    [InlineData("--greedy: expected no option that draws tokens beside it", "--greedy", "--seed", "1")]
    [InlineData("the temperature: expected a number above 0, found 0", "--temperature", "0")]
    [InlineData("top-p: expected a probability above 0 and up to 1, found 2", "--top-p", "2")]
    [InlineData("top-k: expected at least 1 token, found 0", "--top-k", "0")]
    [InlineData("--max-tokens: expected at least 1, found 0", "--max-tokens", "0")]
    [InlineData("threads: expected 0 to 1024, found -1", "--threads", "-1")]
    [InlineData("--prompt: expected a message, with --chat, found an empty text", "--chat", "--prompt", " ")]
    public void Options_that_cannot_be_honoured_are_refused(string message, params string[] options)
    {
        using var folder = new TemporaryFolder();
        HaloConsole.Refused(folder, message, ["generate", InferenceFixture.Folder, "--prompt", "x", .. options]);
    }

    [Fact]
    public void A_damaged_folder_is_refused_before_anything_runs()
    {
        using var folder = new TemporaryFolder();
        InferenceFixture.Copy(folder);
        using (var data = File.OpenWrite(folder["model.onnx.data"]))
            data.SetLength(data.Length / 2);
        HaloConsole.Refused(folder, "of 'model.onnx.data', found a file of", "generate", folder.Path, "--prompt", "x");
        File.Delete(folder["tokenizer.json"]);
        HaloConsole.Refused(folder, "tokenizer.json: expected a file of the inference folder, found no such file", "eval", "--model", folder.Path, "--data",
            TinyRun.Data("valid.jsonl"));
    }

    [Fact]
    public void What_is_no_folder_of_a_model_is_refused()
    {
        using var folder = new TemporaryFolder();
        HaloConsole.Refused(folder, "expected an inference folder, a run, an artifact, or a Hugging Face folder with a config.json, found another folder",
            "generate", folder.Path, "--prompt", "x");
        HaloConsole.Refused(folder, "--prompt", "generate", InferenceFixture.Folder);
        HaloConsole.Refused(folder, "found a file. Name the folder", "generate", Path.Combine(InferenceFixture.Folder, "model.onnx"), "--prompt", "x");
        HaloConsole.Refused(folder, "prompt 1: expected fewer than 1024 tokens", "generate", InferenceFixture.Folder, "--prompt",
            string.Concat(Enumerable.Repeat("x = 1\n", 1000)));
    }
}
