using Halo.Analysis;
using Halo.Ir;
using Halo.Runner.Sessions;

namespace Halo.Runner.Generation;

/// <summary>
/// Caches with room for a number of tokens, which attention writes in place, and what a step of one token a row reads and writes: all bound where they lie, so
/// that a step can be recorded once and replayed.
/// </summary>
internal sealed class HeldCaches : IDisposable
{
    private readonly GraphSession _session;
    private readonly GivenSizes _sizes;
    private readonly int _layers;
    private readonly DeviceTensor[] _caches; // keys and values of each layer in turn, (B, H, R, D)
    private readonly DeviceTensor _ids; // (B, 1)
    private readonly DeviceTensor _mask; // (B, R)
    private readonly DeviceTensor _logits; // (B, 1, V)
    private readonly DeviceTensor? _best, _bestLogit; // (B, 1), where the graph gives them

    /// <param name="session">Of the inference graph; not owned.</param>
    /// <param name="sizes">What the session is given; not owned.</param>
    /// <param name="layers">Layers with a cache.</param>
    /// <param name="rows">B.</param>
    /// <param name="room">R, tokens that a row may come to have.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="recording">The number by which steps are recorded; <see cref="GraphSession.NoRecording"/> where they are not.</param>
    /// <exception cref="InvalidOperationException">The device has no memory left.</exception>
    public HeldCaches(GraphSession session, GivenSizes sizes, int layers, int rows, int room, int vocabulary, int recording)
    {
        (_session, _sizes, _layers, Rows, Room, Recording) = (session, sizes, layers, rows, room, recording);
        var device = session.Device;
        _caches = [.. InferenceInterface.PastNames(layers).Select(name => session.Inputs[name]).Select(cache =>
            new DeviceTensor(device, (ElementType)(int)cache.ElementDataType, [rows, cache.Dimensions[1], room, cache.Dimensions[3]]))];
        _ids = new DeviceTensor(device, ElementType.Int64, [rows, 1]);
        _mask = new DeviceTensor(device, ElementType.Int64, [rows, room]);
        _logits = new DeviceTensor(device, ElementType.Float, [rows, 1, vocabulary]);
        if (BestToken.IsIn(session.Outputs))
            (_best, _bestLogit) = (new DeviceTensor(device, ElementType.Int64, [rows, 1]), new DeviceTensor(device, ElementType.Float, [rows, 1]));
    }

    public int Rows { get; }

    public int Room { get; }

    public int Recording { get; }

    /// <summary>Whether a step finds the most likely tokens itself.</summary>
    public bool GivesBest => _best is not null;

    /// <summary>Binds the caches as past and present of runs to come, and forgets other outputs.</summary>
    public void BindCaches()
    {
        _session.ClearOutputs();
        foreach (var ((past, present), cache) in InferenceInterface.PastNames(_layers).Zip(InferenceInterface.PresentNames(_layers)).Zip(_caches))
        {
            _session.BindInput(past, cache.Value);
            _session.BindOutput(present, cache.Value);
        }
    }

    /// <summary>Binds all that steps use; the bindings hold until others are made.</summary>
    public void BindStep()
    {
        BindCaches();
        _session.BindInput(TrainingNames.InputIds, _ids.Value);
        _session.BindInput(TrainingNames.AttentionMask, _mask.Value);
        _session.BindOutput(TrainingNames.Logits, _logits.Value);
        if (_best is not null)
        {
            _session.BindOutput(BestToken.Id, _best.Value);
            _session.BindOutput(BestToken.Logit, _bestLogit!.Value);
        }
        _sizes.Bind(_session, Rows, tokens: 1, Room);
    }

    /// <summary>Reads one token a row, at the end of what its mask shows. After <see cref="BindStep"/>.</summary>
    /// <param name="ids">(B).</param>
    /// <param name="mask">(B, R) of 0 and 1.</param>
    public void Step(ReadOnlySpan<long> ids, ReadOnlySpan<long> mask)
    {
        _ids.Write(ids);
        _mask.Write(mask);
        _session.Run(Recording);
    }

    /// <summary>The logits of the last step, (B, V).</summary>
    public void ReadLogits(Span<float> logits) => _logits.Read(logits);

    /// <summary>The most likely tokens of the last step and their logits, (B) each, where <see cref="GivesBest"/>.</summary>
    public void ReadBest(Span<long> ids, Span<float> logits)
    {
        _best!.Read(ids);
        _bestLogit!.Read(logits);
    }

    public void Dispose()
    {
        foreach (var tensor in (DeviceTensor?[])[.. _caches, _ids, _mask, _logits, _best, _bestLogit])
            tensor?.Dispose();
    }
}
