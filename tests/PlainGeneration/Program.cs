// Generates greedily with an inference folder of halo export and nothing but Microsoft.ML.OnnxRuntime.
//   PlainGeneration DIR COUNT ID ID ...    prints the ids that follow, on one line
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;

if (args.Length < 3)
{
    Console.Error.WriteLine("usage: DIR COUNT ID ID ...: the folder, how many tokens to write, the ids of the prompt");
    return 2;
}
var folder = args[0];
var count = int.Parse(args[1]);
long[] prompt = [.. args[2..].Select(long.Parse)];

// genai_config.json tells the sizes of the caches and the ids that end a completion.
using var config = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "genai_config.json")));
var model = config.RootElement.GetProperty("model");
var decoder = model.GetProperty("decoder");
var layers = decoder.GetProperty("num_hidden_layers").GetInt32();
long heads = decoder.GetProperty("num_key_value_heads").GetInt32(), headSize = decoder.GetProperty("head_size").GetInt32();
var stops = model.GetProperty("eos_token_id").EnumerateArray().Select(id => id.GetInt64()).ToHashSet();

using var session = new InferenceSession(Path.Combine(folder, decoder.GetProperty("filename").GetString()!));
using var run = new RunOptions();
string[] caches = [.. Enumerable.Range(0, layers).SelectMany(n => (string[])[$"{n}.key", $"{n}.value"])];
string[] inputs = ["input_ids", "attention_mask", .. caches.Select(cache => $"past_key_values.{cache}")];
string[] outputs = ["logits", .. caches.Select(cache => $"present.{cache}")];

// The caches begin empty: (batch, heads, 0, head size).
var cacheType = session.InputMetadata[inputs[2]].ElementDataType;
IReadOnlyList<OrtValue> past = [.. caches.Select(_ => OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, cacheType, [1, heads, 0, headSize]))];
var written = new List<long>();
var next = prompt; // the whole prompt first, then one token at a time
while (written.Count < count)
{
    long[] mask = [.. Enumerable.Repeat(1L, prompt.Length + written.Count)]; // tokens in the caches and new ones
    using var ids = OrtValue.CreateTensorValueFromMemory(next, [1, next.Length]);
    using var seen = OrtValue.CreateTensorValueFromMemory(mask, [1, mask.Length]);
    var results = session.Run(run, inputs, [ids, seen, .. past], outputs);

    // Logits (1, new tokens, vocabulary): the last row tells the next token.
    var logits = results[0].GetTensorDataAsSpan<float>()[^(int)results[0].GetTensorTypeAndShape().Shape[2]..];
    var best = 0;
    for (var id = 1; id < logits.Length; id++)
        best = logits[id] > logits[best] ? id : best;
    results[0].Dispose();
    if (stops.Contains(best))
        break;
    written.Add(best);
    next = [best];

    // What this run wrote into the caches is what the next one reads.
    foreach (var cache in past)
        cache.Dispose();
    past = [.. results.Skip(1)];
}
Console.WriteLine(string.Join(' ', written));
return 0;
