using System.CommandLine;
using Halo.Models.Bundled;
using Halo.Models.Chat;
using Halo.Runner.Data;
using Halo.Runner.Generation;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;

namespace Halo.Runner.Cli;

/// <summary><c>halo demo</c>: fine-tunes the bundled model on the bundled data in FP8, and shows what came of it.</summary>
internal static class DemoVerb
{
    /// <summary>Enough updates for SQL that can be read, few enough for some minutes on two cores.</summary>
    private const int Steps = 120;

    private const int SampleTokens = 64;

    public static Command Command()
    {
        var output = new Option<string?>("--output", "-o") { Description = "Folder of the run; the next free of halo-demo, halo-demo-2, ... if not given." };
        var steps = new Option<int>("--steps") { Description = "Updates.", DefaultValueFactory = _ => Steps };
        var scheme = new Option<string>("--scheme") { Description = "HALO level.", DefaultValueFactory = _ => "halo-0" };
        var format = new Option<string>("--format") { Description = "Number format.", DefaultValueFactory = _ => "fp8" };
        var command = new Command("demo", "Fine-tune the bundled LLaMA on SQL questions in FP8 on this machine's CPU: a few minutes on two cores.")
        {
            output, steps, scheme, format,
        };
        command.SetAction(parsed => Run(parsed.GetValue(output) ?? FreeFolder(), parsed.GetValue(steps), parsed.GetValue(scheme)!, parsed.GetValue(format)!));
        return command;
    }

    private static int Run(string output, int steps, string scheme, string format)
    {
        var data = Path.Combine(AppContext.BaseDirectory, "data", "sql");
        var folder = Path.GetFullPath(output);
        var options = new Dictionary<string, string>
        {
            ["model"] = Path.Combine(folder, "training.onnx"),
            ["weights"] = LlamaTiny.Folder,
            ["tokenizer"] = LlamaTiny.Folder,
            ["data"] = Path.Combine(data, "train.jsonl"),
            ["valid"] = Path.Combine(data, "valid.jsonl"),
            ["output"] = folder,
            ["scheme"] = scheme,
            ["format"] = format,
            ["rederive"] = "true",
            ["steps"] = $"{steps}",
            ["learning_rate"] = "1e-3",
            ["warmup_steps"] = $"{Math.Min(10, steps)}",
            ["save_every"] = "40",
        };
        var config = TrainConfig.Load(null, options, "data", "output");
        var run = RunFolder.Create(folder, config.ToYaml());
        Console.Error.WriteLine($"fine-tuning llama-tiny ({LlamaTiny.TrainingBatch} x {LlamaTiny.TrainingSequence} tokens a step) on SQL questions: "
            + $"{scheme}, {format}");
        LlamaTiny.ExtractTrainingGraph(config.Model);
        using var opened = TrainVerb.Open(config, run);
        var sample = DataFileReader.Read(config.Valid!).First().RequireChat("demo").Messages;
        var question = sample.TakeWhile(m => m.Role != "assistant").ToList();
        var before = Answer(run, question);
        var outcome = TrainVerb.Train(TrainVerb.Shown(opened));
        if (!outcome.IsComplete)
        {
            Console.WriteLine($"stopped after step {outcome.Step} of {outcome.TotalSteps}; go on with: halo train --resume -o {folder}");
            return ExitCode.Interrupted;
        }
        Console.WriteLine($"""
            validation loss   {outcome.Before:F4} -> {outcome.After:F4}
            question          {question[^1].Content.Split("question:")[^1].Trim()}
            answer expected   {sample[question.Count].Content}
            answer before     {before}
            answer after      {Answer(run, question)}
            fine-tuned model  {run.Model}
            report            {run.Report}
            metrics           {run.Metrics} and {run.EventFile}
            rewritten graphs  {run.Artifact}
            """);
        return ExitCode.Done;
    }

    /// <summary>What the run's newest weights write, in float32.</summary>
    private static string Answer(RunFolder run, IReadOnlyList<ChatMessage> question)
    {
        using var model = InferenceModel.Open(run.Path, new SessionSettings());
        var generator = new Generator(model.Decoder, SamplingSettings.Greedy, model.StopIds, SampleTokens);
        var answer = generator.Generate([model.Chat.EncodePrompt(question)])[0];
        return model.Decode(answer).ReplaceLineEndings(" ").Trim();
    }

    private static string FreeFolder()
    {
        for (var n = 1; ; n++)
        {
            var name = n == 1 ? "halo-demo" : $"halo-demo-{n}";
            if (!Directory.Exists(name) && !File.Exists(name))
                return name;
        }
    }
}
