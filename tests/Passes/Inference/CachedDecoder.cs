using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Passes.Inference;

/// <summary>An inference graph in a stock ONNX Runtime session, with its cache from one call to the next.</summary>
internal sealed class CachedDecoder : IDisposable
{
    private const string Past = "past_key_values.", Present = "present.";

    private readonly InferenceSession _session;
    private readonly Dictionary<string, OrtValue> _parameters;
    private readonly RunOptions _run = new();
    private readonly Dictionary<string, OrtValue> _cache = [];

    /// <param name="model">Its parameters are inputs.</param>
    /// <param name="parameters">By name, of any float type.</param>
    public CachedDecoder(Model model, IReadOnlyDictionary<string, Tensor> parameters)
    {
        using var options = new SessionOptions { IntraOpNumThreads = 1, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        _session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        _parameters = model.Graph.Inputs.Where(i => i.Type.IsFloat() && !i.Name.StartsWith(Past, StringComparison.Ordinal)).ToDictionary(i => i.Name,
            i => OnnxEvaluator.ToOrtValue(Halo.Passes.Canonical.Precision.ConvertedBytes.Convert(parameters[i.Name], i.Type)));
    }

    /// <summary>Forgets the past.</summary>
    public void Clear()
    {
        foreach (var value in _cache.Values)
            value.Dispose();
        _cache.Clear();
    }

    /// <summary>Rows of tokens behind what the cache holds.</summary>
    /// <param name="ids">One list for each row, all of one length.</param>
    /// <param name="lengths">Tokens of each row that count, past included; null: all.</param>
    /// <returns>The logits of each row and token.</returns>
    public float[][][] Run(long[][] ids, long[]? lengths = null)
    {
        long[] size = [ids.Length, ids[0].Length];
        var past = _cache.Count == 0 ? 0 : _cache.First().Value.GetTensorTypeAndShape().Shape[2];
        var total = past + size[1];
        lengths ??= [.. ids.Select(_ => total)];
        using var tokens = OnnxEvaluator.ToOrtValue(Tensor.Of<long>(ElementType.Int64, size, [.. ids.SelectMany(r => r)]));
        using var mask = OnnxEvaluator.ToOrtValue(Tensor.Of<long>(ElementType.Int64, [size[0], total],
            [.. lengths.SelectMany(length => Enumerable.Range(0, (int)total).Select(t => t < length ? 1L : 0L))]));
        var inputs = new Dictionary<string, OrtValue>(_parameters) { ["input_ids"] = tokens, ["attention_mask"] = mask };
        foreach (var (name, input) in _session.InputMetadata.Where(i => i.Key.StartsWith(Past, StringComparison.Ordinal)))
        {
            if (!_cache.ContainsKey(name))
                _cache[name] = GraphSession.Allocate(input.ElementDataType, [size[0], input.Dimensions[1], 0, input.Dimensions[3]]);
            inputs[name] = _cache[name];
        }
        var outputs = _session.OutputMetadata.Keys.ToList();
        var results = outputs.Zip(_session.Run(_run, inputs, outputs)).ToDictionary(p => p.First, p => p.Second);
        Clear();
        foreach (var (name, value) in results.Where(r => r.Key.StartsWith(Present, StringComparison.Ordinal)))
            _cache[Past + name[Present.Length..]] = value;
        using var logits = results["logits"];
        var shape = logits.GetTensorTypeAndShape().Shape;
        Assert.Equal([.. size, shape[2]], shape);
        var flat = logits.GetTensorDataAsSpan<float>().ToArray();
        return [.. Enumerable.Range(0, (int)size[0]).Select(r => Enumerable.Range(0, (int)size[1])
            .Select(t => flat.AsSpan((int)(((r * size[1]) + t) * shape[2]), (int)shape[2]).ToArray()).ToArray())];
    }

    /// <summary>The best token each time, with the cache or computing all anew.</summary>
    public long[] Greedy(long[] prompt, int count, bool cached)
    {
        Clear();
        var ids = prompt.ToList();
        for (var logits = Run([prompt])[0][^1]; ;)
        {
            ids.Add(logits.Index().MaxBy(l => l.Item).Index);
            if (ids.Count == prompt.Length + count)
                return [.. ids.Skip(prompt.Length)];
            if (!cached)
                Clear();
            logits = Run([cached ? [ids[^1]] : [.. ids]])[0][^1];
        }
    }

    public void Dispose()
    {
        Clear();
        foreach (var value in _parameters.Values)
            value.Dispose();
        _run.Dispose();
        _session.Dispose();
    }
}
