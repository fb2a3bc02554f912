using Halo.Analysis;
using Halo.Ir;
using Halo.Runner.Sessions;

namespace Halo.Runner.Generation;

/// <summary>
/// Caches with room for a number of tokens, which attention writes in place, and what a step of one token a row reads and writes: all bound where they lie, so
/// that a step can be recorded once and replayed.
/// </summary>
/// <remarks>
/// Where the graph finds the most likely tokens and is given the lengths of rows, a step writes both for the next one, over what it read: the host writes what
/// differs, a token that was drawn or a row that is over, and nothing else.
/// </remarks>
internal sealed class HeldCaches : IDisposable
{
    private readonly GraphSession _session;
    private readonly GivenSizes _sizes;
    private readonly int _layers;
    private readonly DeviceTensor[] _caches; // keys and values of each layer in turn, (B, H, R, D)
    private readonly DeviceTensor _ids; // (B, 1)
    private readonly DeviceTensor _mask; // (B, R)
    private readonly DeviceTensor _logits; // (B, 1, V)
    private readonly DeviceTensor? _bestLogit; // (B, 1), where the graph gives it; the token is written into _ids
    private readonly DeviceTensor? _lengths; // (B), tokens of a row before its last, where the graph is given them
    private readonly long[] _idsThere; // (B), what _ids has, where _knowsIds
    private readonly int[] _lengthsThere; // (B), what _lengths has
    private bool _knowsIds;

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
            _bestLogit = new DeviceTensor(device, ElementType.Float, [rows, 1]);
        if (session.Inputs.ContainsKey(GivenLengths.Last))
            _lengths = new DeviceTensor(device, ElementType.Int32, [rows]);
        (_idsThere, _lengthsThere) = (new long[rows], new int[rows]); // zeros, as new tensors are
    }

    public int Rows { get; }

    public int Room { get; }

    public int Recording { get; }

    /// <summary>Whether a step finds the most likely tokens itself.</summary>
    public bool GivesBest => _bestLogit is not null;

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
        if (_bestLogit is not null)
        {
            _session.BindOutput(BestToken.Id, _ids.Value);
            _session.BindOutput(BestToken.Logit, _bestLogit.Value);
        }
        if (_lengths is not null)
        {
            _session.BindInput(GivenLengths.Last, _lengths.Value);
            _session.BindOutput(GivenLengths.Next, _lengths.Value);
        }
        _sizes.Bind(_session, Rows, tokens: 1, Room);
    }

    /// <summary>Reads one token a row, at the end of what its mask shows. After <see cref="BindStep"/>.</summary>
    /// <param name="ids">(B).</param>
    /// <param name="mask">(B, R) of 0 and 1.</param>
    /// <param name="counts">(B), the tokens that it shows.</param>
    public void Step(ReadOnlySpan<long> ids, ReadOnlySpan<long> mask, ReadOnlySpan<int> counts)
    {
        if (!_knowsIds || !ids.SequenceEqual(_idsThere))
            _ids.Write(ids);
        if (_lengths is null)
            _mask.Write(mask);
        else
            WriteLengths(counts);
        _session.Run(Recording);
        for (var row = 0; row < Rows; row++)
            _lengthsThere[row]++;
        _knowsIds = false;
    }

    /// <summary>The logits of the last step, (B, V).</summary>
    public void ReadLogits(Span<float> logits) => _logits.Read(logits);

    /// <summary>The most likely tokens of the last step and their logits, (B) each, where <see cref="GivesBest"/>.</summary>
    public void ReadBest(Span<long> ids, Span<float> logits)
    {
        _ids.Read(ids);
        _bestLogit!.Read(logits);
        ids.CopyTo(_idsThere);
        _knowsIds = true;
    }

    private void WriteLengths(ReadOnlySpan<int> counts)
    {
        var isThere = true;
        for (var row = 0; row < Rows; row++)
        {
            isThere &= _lengthsThere[row] == counts[row] - 1;
            _lengthsThere[row] = counts[row] - 1;
        }
        if (!isThere)
            _lengths!.Write<int>(_lengthsThere);
    }

    public void Dispose()
    {
        foreach (var tensor in (DeviceTensor?[])[.. _caches, _ids, _mask, _logits, _bestLogit, _lengths])
            tensor?.Dispose();
    }
}
