using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Halo.Io;
using Halo.Models.Chat;
using Halo.Models.Tokenizers;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;

namespace Halo.Runner.Cli;

/// <summary><c>halo generate</c>: continues prompts. stdout has the completions, of several each under a line that names its prompt.</summary>
internal static class GenerateVerb
{
    private const int DefaultMaxTokens = 256;
    private const int PromptShown = 60;

    public static Command Command()
    {
        var folder = new Argument<string>("DIR") { Description = "An inference folder of halo export, a Hugging Face folder, a run or an artifact." };
        var prompts = new Option<string[]>("--prompt")
        {
            Description = "Text to continue, behind the BOS token; again for more prompts, which are run together.",
            Required = true,
            HelpName = "TEXT",
        };
        var chat = new Option<bool>("--chat") { Description = "Take each prompt as a user's message and write the assistant's answer, by the chat template." };
        var maxTokens = new Option<int>("--max-tokens")
        {
            Description = "Longest completion, in tokens.",
            DefaultValueFactory = _ => DefaultMaxTokens,
            HelpName = "N",
        };
        var greedy = new Option<bool>("--greedy")
        {
            Description = "Take the most likely token each time: the default unless --temperature, --top-p, --top-k or --seed is given.",
        };
        var temperature = new Option<double?>("--temperature")
        {
            Description = "Draw tokens, their logits divided by this; 1 where another of these options is given.",
            HelpName = "T",
        };
        var topP = new Option<double?>("--top-p") { Description = "Draw from the fewest tokens that hold this probability, in (0, 1].", HelpName = "P" };
        var topK = new Option<int?>("--top-k") { Description = "Draw from this many of the most likely tokens.", HelpName = "K" };
        var seed = new Option<ulong?>("--seed")
        {
            Description = "Draw by this seed, 0 if not given: the same one gives the same tokens.",
            HelpName = "N",
        };
        var adapter = new Option<string?>("--adapter")
        {
            Description = "Folder of a LoRA or DoRA adapter (PEFT), merged into the weights for this run.",
            HelpName = "DIR",
        };
        var noCache = new Option<bool>("--no-cache") { Description = "Run all tokens again for each new one: slow, and the same tokens." };
        var threads = new Option<int>("--threads") { Description = "Threads on the CPU; 0 is one for each core.", HelpName = "N" };
        var device = Choice<GraphDevice>.Option("--device", "Where the graph runs; the default is cpu.", "cpu|cuda");
        var provider = Choice<CudaProvider>.Option("--provider", "Whose execution provider runs on a GPU: halo or onnxruntime.");
        var command = new Command("generate",
            "Continue prompts with a model: greedy, or drawn at a temperature. A completion ends at a stop token of the model.")
            { folder, prompts, chat, maxTokens, greedy, temperature, topP, topK, seed, adapter, noCache, threads, device, provider };
        command.SetAction(parsed =>
        {
            var (t, p, k, s) = (parsed.GetValue(temperature), parsed.GetValue(topP), parsed.GetValue(topK), parsed.GetValue(seed));
            var draws = (t, p, k, s) != (null, null, null, null);
            if (parsed.GetValue(greedy) && draws)
            {
                throw new HaloException("generate", "--greedy", "no option that draws tokens beside it", "--temperature, --top-p, --top-k or --seed",
                    "Leave one of them out.");
            }
            var sampling = draws ? new SamplingSettings { Temperature = t ?? 1, TopP = p ?? 1, TopK = k, Seed = s ?? 0 } : SamplingSettings.Greedy;
            sampling.Check();
            if (parsed.GetValue(maxTokens) < 1)
                throw new HaloException("generate", "--max-tokens", "at least 1", $"{parsed.GetValue(maxTokens)}", "Give a larger number, or leave it out.");
            if (parsed.GetValue(chat) && parsed.GetValue(prompts)!.Any(string.IsNullOrWhiteSpace))
                throw new HaloException("generate", "--prompt", "a message, with --chat", "an empty text", "Give the user's words, or leave --chat out.");
            return Run(parsed.GetValue(folder)!, parsed.GetValue(prompts)!, parsed.GetValue(chat), parsed.GetValue(maxTokens), sampling,
                !parsed.GetValue(noCache), parsed.GetValue(adapter),
                new SessionSettings
                {
                    Threads = parsed.GetValue(threads),
                    Device = new Device(parsed.GetValue(device)),
                    Provider = parsed.GetValue(provider),
                });
        });
        return command;
    }

    private static int Run(string folder, string[] prompts, bool isChat, int maxTokens, SamplingSettings sampling, bool useCache,
        string? adapter, SessionSettings settings)
    {
        using var model = InferenceModel.Open(folder, settings, useCache, adapter);
        var ids = prompts.Select(p => isChat ? model.Chat.EncodePrompt([new ChatMessage("user", p)]) : model.Encode(p)).ToList();
        Console.Error.WriteLine($"{model.Path}: {model.Decoder.Layers} layers, rows of up to {model.Decoder.MaxPositions} tokens; "
            + $"tokens of {(ids.Count == 1 ? "the prompt" : "the prompts")}: {string.Join(", ", ids.Select(i => i.Length))}");
        var streams = prompts.Select(_ => new TokenStream(model.Tokenizer, skipSpecialTokens: true)).ToList();
        var clock = Stopwatch.StartNew();
        var completions = new Generator(model.Decoder, sampling, model.StopIds, maxTokens).Generate(ids, (row, id) =>
        {
            if (prompts.Length == 1)
                Console.Out.Write(streams[row].Add(id));
            return true;
        });
        var seconds = clock.Elapsed.TotalSeconds;
        if (prompts.Length == 1)
            Console.Out.WriteLine(streams[0].End());
        for (var row = 0; row < prompts.Length && prompts.Length > 1; row++)
        {
            Console.Out.WriteLine($"--- {row + 1}: {Shown(prompts[row])}");
            Console.Out.WriteLine(model.Decode(completions[row]));
        }
        if (settings.Device.IsGpu)
            Console.Error.WriteLine(RecordingUse.Take(settings.Provider, model.Decoder.Unrecorded));
        var tokens = completions.Sum(c => c.Ids.Count);
        Console.Error.WriteLine($"{tokens} tokens in {seconds:F2} s ({tokens / seconds:F0} tok/s); "
            + $"ended by {string.Join(", ", completions.Select(c => Reason(c.EndedBy)))}");
        return ExitCode.Done;
    }

    /// <summary>The beginning of a prompt on one line.</summary>
    private static string Shown(string prompt) =>
        JsonSerializer.Serialize(prompt.Length > PromptShown ? prompt[..PromptShown] + "..." : prompt, JsonText.Readable);

    private static string Reason(EndedBy ended) => ended switch
    {
        EndedBy.StopToken => "a stop token",
        EndedBy.MaxTokens => "--max-tokens",
        EndedBy.MaxPositions => "the model's last position",
        _ => "the caller",
    };
}
