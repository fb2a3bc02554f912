using System.Text.Json;
using Halo.Models.Bundled;
using Halo.Models.Llama;
using Halo.Models.Tokenizers;
using Halo.Models.Weights;
using Halo.Runner.Data;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training.Engine;
using Halo.Serialization;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Generation;

public sealed class InferenceEvaluationTests : IDisposable
{
    private const int Rows = 12;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Padding, batches and the order of rows must not matter.</summary>
    [Fact]
    public void The_loss_is_that_of_the_graph_that_is_trained()
    {
        File.WriteAllLines(_folder["rows.jsonl"], File.ReadLines(TinyRun.Data("valid.jsonl")).Take(Rows));
        using var model = InferenceModel.Open(InferenceFixture.Folder, new SessionSettings());
        var rows = ChatDataset.Load(_folder["rows.jsonl"], model.Chat.Encode, 256).Rows;
        var (expected, counted) = TrainedLoss(rows);
        foreach (var together in (int[])[1, 5, 100])
        {
            var found = InferenceLoss.Of(model.Decoder, rows, together);
            Assert.Equal(expected, found.Loss, Tolerances.MeanLoss);
            Assert.Equal(counted, found.CountedTokens);
        }
        Assert.StartsWith($"loss {expected:F4} | perplexity {Math.Exp(expected):G5} | {counted} tokens of {Rows} rows",
            HaloConsole.Succeed("eval", "--model", InferenceFixture.Folder, "--data", _folder["rows.jsonl"]), StringComparison.Ordinal);
    }

    /// <summary>The bundled model has learned no answers; a line break that ends its completions makes short ones of what it writes.</summary>
    [Fact]
    public void Answers_that_are_the_expected_text_are_counted()
    {
        InferenceFixture.Copy(_folder);
        File.Delete(_folder["generation_config.json"]);
        var lineBreaks = Enumerable.Range(0, 2048).Where(id => Tokenizer.BytesOf(id).Contains((byte)'\n')).ToArray();
        File.WriteAllText(_folder["generation_config.json"], JsonSerializer.Serialize(new { eos_token_id = lineBreaks }));
        string[] questions = ["def f(x):", "import os", "What?"];
        var answers = questions.Select(q => HaloConsole.Succeed("generate", _folder.Path, "--chat", "--prompt", q).TrimEnd('\n')).ToList();
        Assert.All(answers, a => Assert.True(a.Trim().Length > 1, $"the test wants an answer, not '{a}'"));
        WriteRows((questions[0], $"  {answers[0]} "), (questions[1], answers[1][..^1]), (questions[2], answers[2] + "x"), (questions[1], answers[1]),
            (questions[0], "no"));
        foreach (var batch in (string[])["1", "32"])
        {
            var output = HaloConsole.Succeed("eval", "--model", _folder.Path, "--data", _folder["rows.jsonl"], "--exact-match", "--batch-size", batch);
            Assert.EndsWith($"exact match 2 of 5 | {0.4:P1}\n", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_question_is_all_that_comes_before_the_last_answer()
    {
        var row = JsonSerializer.Serialize(new
        {
            messages = new[] { Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d") },
        });
        File.WriteAllText(_folder["rows.jsonl"], row + "\n");
        using var model = InferenceModel.Open(InferenceFixture.Folder, new SessionSettings());
        Assert.Equal(new ExactMatch(0, 1), ExactMatch.Of(model, _folder["rows.jsonl"], 4));

        static object Message(string role, string content) => new { role, content };
    }

    [Fact]
    public void A_hugging_face_folder_generates_as_its_inference_folder()
    {
        string[] arguments = ["--prompt", "def main(", "--prompt", "import ", "--max-tokens", "12"];
        var expected = HaloConsole.Succeed(["generate", InferenceFixture.Folder, .. arguments]);
        Assert.Equal(expected, HaloConsole.Succeed(["generate", LlamaTiny.Folder, .. arguments]));
        Assert.Equal(expected, HaloConsole.Succeed(["generate", LlamaTiny.Folder, "--no-cache", .. arguments]));
    }

    /// <summary>Of a run the newest checkpoint counts; the model it leaves behind has the same weights where its type is float32.</summary>
    [Fact]
    public void A_run_generates_and_is_held_to_expected_answers()
    {
        var options = TinyChat.Write(_folder);
        HaloConsole.Succeed(["train", .. options, "--data", _folder["data.jsonl"], "-o", _folder["run"], "--steps", "2", "--learning-rate", "1e-2",
            "--scheme", "halo-0", "--format", "int8"]);
        string[] arguments = ["--prompt", "1?", "--chat", "--max-tokens", "8"];
        var trained = HaloConsole.Succeed(["generate", _folder["run"], .. arguments]);
        Assert.Equal(trained, HaloConsole.Succeed(["generate", _folder["run/model"], .. arguments]));
        Assert.NotEqual(trained, HaloConsole.Succeed(["generate", _folder["model"], .. arguments]));
        Assert.Matches(@"^loss .*\nexact match \d of 9 \| .*\n$",
            HaloConsole.Succeed("eval", "--model", _folder["run"], "--data", _folder["data.jsonl"], "--exact-match"));
    }

    [Theory]
    [InlineData("an inference folder as --model", "--scheme", "halo-0")]
    [InlineData("an inference folder as --model", "--weights", "x")]
    [InlineData("--sequence-length: expected 2 to 1024 tokens", "--sequence-length", "1025")]
    public void What_an_inference_folder_has_of_its_own_cannot_be_set(string message, params string[] options)
    {
        HaloConsole.Refused(_folder, message, ["eval", "--model", InferenceFixture.Folder, "--data", TinyRun.Data("valid.jsonl"), .. options]);
    }

    [Fact]
    public void Exact_match_wants_a_folder_and_no_rewrite()
    {
        string[] Eval(string model) => ["eval", "--model", model, "--data", TinyRun.Data("valid.jsonl"), "--exact-match"];
        HaloConsole.Refused(_folder, "--exact-match: expected a folder as --model, found a graph", Eval(TinyChat.Graph));
        HaloConsole.Refused(_folder, "found --format", [.. Eval(LlamaTiny.Folder), "--format", "fp8"]);
    }

    private static HfTokenizer Tokenizer { get; } = HfTokenizer.Load(LlamaTiny.Folder);

    private static (double Loss, long Counted) TrainedLoss(IReadOnlyList<TokenizedRow> rows)
    {
        var source = HuggingFaceSource.Open(LlamaTiny.Folder);
        var @interface = new TrainingInterface([.. LlamaParameters.Of(source.Config)], [], 8, 256);
        using var checkpoint = CheckpointReader.Open(LlamaTiny.Folder);
        var settings = new SessionSettings { Operators = OperatorKernels.Functions };
        using var parameters = new ParameterBuffers(@interface.Parameters, settings.Device);
        parameters.Load(checkpoint.Path, checkpoint.Tensors);
        using var evaluator = new Evaluator(new GraphSession("forward graph", OnnxWriter.ToBytes(source.Build(8, 256)), settings), @interface, parameters);
        return evaluator.Loss(Batcher.ForEvaluation(rows, @interface.Layout(padId: 5)).Epoch());
    }

    private void WriteRows(params (string Question, string Answer)[] rows) =>
        File.WriteAllLines(_folder["rows.jsonl"], rows.Select(r => JsonSerializer.Serialize(new
        {
            messages = new[] { new { role = "user", content = r.Question }, new { role = "assistant", content = r.Answer } },
        })));
}
