using Halo.Analysis;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Generation;

/// <summary>Rows whose caches have room for all their tokens from the beginning: on a GPU, where a step is then a replay.</summary>
internal sealed class HeldDecoding : IDecoding
{
    private readonly HeldCaches _caches;
    private readonly Action<HeldCaches> _giveBack;
    private readonly int _vocabulary;
    private readonly int[] _counts; // tokens of each row
    private readonly long[] _last; // the last of them
    private readonly long[] _mask; // (B, R)
    private readonly float[] _logits; // (B, V), behind the last of them
    private readonly long[] _best; // (B), the most likely of them
    private readonly float[] _bestLogits; // (B)
    private bool _hasLogits, _hasBest; // of the last step, on the host

    /// <summary>Reads the prompts.</summary>
    /// <param name="session">Of the inference graph; not owned.</param>
    /// <param name="sizes">What it is given; not owned.</param>
    /// <param name="caches">For as many rows as there are prompts, with room for all tokens to come.</param>
    /// <param name="prompts">Ids, at least one each.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="giveBack">Takes the caches at the end.</param>
    public HeldDecoding(GraphSession session, GivenSizes sizes, HeldCaches caches, IReadOnlyList<int[]> prompts, int vocabulary, Action<HeldCaches> giveBack)
    {
        (_caches, _vocabulary, _giveBack) = (caches, vocabulary, giveBack);
        _counts = [.. prompts.Select(p => p.Length)];
        _last = [.. prompts.Select(p => (long)p[^1])];
        _mask = new long[caches.Rows * caches.Room];
        _logits = new float[caches.Rows * vocabulary];
        (_best, _bestLogits) = (new long[caches.Rows], new float[caches.Rows]);
        for (var row = 0; row < prompts.Count; row++)
            _mask.AsSpan(row * caches.Room, _counts[row]).Fill(1);
        ReadPrompts(session, sizes, prompts);
        _caches.BindStep();
    }

    /// <inheritdoc/>
    public ReadOnlySpan<float> Next(int row)
    {
        if (!_hasLogits)
            _caches.ReadLogits(_logits);
        _hasLogits = true;
        return _logits.AsSpan(row * _vocabulary, _vocabulary);
    }

    /// <inheritdoc/>
    public int Best(int row)
    {
        if (_hasLogits || !_caches.GivesBest)
            return Sampler.Pick(Next(row), SamplingSettings.Greedy, random: 0);
        if (!_hasBest)
            _caches.ReadBest(_best, _bestLogits);
        _hasBest = true;
        return Sampler.Checked((int)_best[row], _bestLogits[row]);
    }

    /// <summary>A row that is over reads its last token again, over its own place.</summary>
    public void Append(IReadOnlyList<int?> tokens)
    {
        for (var row = 0; row < _counts.Length; row++)
        {
            if (tokens[row] is not { } id)
                continue;
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(_counts[row], _caches.Room);
            _mask[(row * _caches.Room) + _counts[row]++] = 1;
            _last[row] = id;
        }
        _caches.Step(_last, _mask, _counts);
        (_hasLogits, _hasBest) = (false, false);
    }

    public void Dispose() => _giveBack(_caches);

    private void ReadPrompts(GraphSession session, GivenSizes sizes, IReadOnlyList<int[]> prompts)
    {
        var width = _counts.Max();
        long[] ids = [.. prompts.SelectMany(p => Enumerable.Range(0, width).Select(n => n < p.Length ? p[n] : 0L))];
        long[] mask = [.. _counts.SelectMany(count => Enumerable.Range(0, width).Select(n => n < count ? 1L : 0L))];
        using var idValue = OrtValue.CreateTensorValueFromMemory(ids, [prompts.Count, width]);
        using var maskValue = OrtValue.CreateTensorValueFromMemory(mask, [prompts.Count, width]);
        _caches.BindCaches();
        session.BindInput(TrainingNames.InputIds, idValue);
        session.BindInput(TrainingNames.AttentionMask, maskValue);
        using var lastValue = DecoderSession.BindLengths(session, mask, prompts.Count);
        sizes.Bind(session, prompts.Count, width, width);
        session.BindNewOutput(TrainingNames.Logits, onHost: true);
        session.Run(GraphSession.NoRecording);
        using var outputs = session.TakeOutputs();
        var logits = outputs[^1].GetTensorDataAsSpan<float>(); // (B, S, V), bound last
        for (var row = 0; row < _counts.Length; row++)
            logits.Slice(((row * width) + _counts[row] - 1) * _vocabulary, _vocabulary).CopyTo(_logits.AsSpan(row * _vocabulary));
        _hasLogits = true;
    }
}
