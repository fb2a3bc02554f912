using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Fusion;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Generation;

/// <summary>An inference graph in a session of ONNX Runtime.</summary>
/// <remarks>
/// The graph's interface is <see cref="InferenceInterface"/>. Rows are padded on the right: a row's tokens, cached ones included, are the first that its mask
/// shows, so that each is at the position it would have alone. Where rows are to be continued on a GPU, caches have room for all tokens from the beginning and
/// are written in place; else they are handed from run to run as they are, and their content is never copied here.
/// </remarks>
internal sealed class DecoderSession : IDecoder
{
    private const int RoomStep = 256; // one recording serves rows of many lengths

    private readonly GraphSession _session;
    private readonly GivenSizes _sizes;
    private HeldCaches? _held; // those that no decoding uses
    private int _recordings;

    /// <param name="session">Of the graph; owned from then on.</param>
    /// <param name="maxPositions">Tokens of a row that the graph takes.</param>
    /// <param name="useCache">False runs all of a row again for each token: slow, and plainly right.</param>
    public DecoderSession(GraphSession session, int maxPositions, bool useCache = true)
        : this(session, GivenSizes.None, maxPositions, useCache) { }

    private DecoderSession(GraphSession session, GivenSizes sizes, int maxPositions, bool useCache)
    {
        Unrecorded = !session.Device.IsGpu ? "the CPU records nothing" : !useCache ? "without a cache all tokens run again, in a run of other sizes each"
            : !session.Settings.Replays ? $"no recording holds sizes that are computed on the host, by {string.Join(", ", sizes.Left.Take(3))}" : null;
        (_session, _sizes, MaxPositions, UsesCache) = (session, sizes, maxPositions, useCache);
        VocabularySize = session.Outputs[TrainingNames.Logits].Dimensions[^1];
        Layers = session.Inputs.Keys.Count(name => InferenceInterface.LayerOf(name) is not null) / 2;
    }

    /// <summary>A session of a graph; on a GPU, where steps over caches are recorded, of one that is given its sizes.</summary>
    /// <param name="name">What messages call it.</param>
    /// <param name="model">The graph, which may be changed.</param>
    /// <param name="settings">How to run it.</param>
    /// <param name="maxPositions">Tokens of a row that the graph takes.</param>
    /// <param name="useCache">False runs all of a row again for each token.</param>
    /// <exception cref="HaloException">ONNX Runtime refuses the graph.</exception>
    public static DecoderSession Of(string name, Model model, SessionSettings settings, int maxPositions, bool useCache = true)
    {
        var ownProvider = settings.Device.IsGpu && settings.Provider == CudaProvider.Halo;
        if (ownProvider)
        {
            ShapeInference.Run(model.Graph);
            PassManager.Run(model, [new FuseInference()], new PassOptions());
        }
        var sizes = useCache && settings.Device.IsGpu ? GivenSizes.In(model) : GivenSizes.None;
        if (ownProvider && sizes.AreAll)
        {
            BestToken.AddTo(model);
            GivenLengths.AddTo(model);
        }
        var session = GraphSession.Of(name, model, settings with { Replays = sizes.AreAll, AllowsHostNodes = !sizes.AreAll });
        return new DecoderSession(session, sizes, maxPositions, useCache);
    }

    public int MaxPositions { get; }

    public bool UsesCache { get; }

    /// <summary>Why steps of one token are launched node by node; null where they are recorded once and replayed.</summary>
    public string? Unrecorded { get; }

    public int VocabularySize { get; }

    public int Layers { get; }

    /// <inheritdoc/>
    public IDecoding Begin(IReadOnlyList<int[]> prompts, int room)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(room, prompts.Max(p => p.Length));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(room, MaxPositions);
        return UsesCache && _session.Device.IsGpu
            ? new HeldDecoding(_session, _sizes, TakeCaches(prompts.Count, room), prompts, VocabularySize, GiveBack) : Begin(prompts);
    }

    /// <summary>Reads prompts, each of 1 to <see cref="MaxPositions"/> ids; logits are those of all their tokens.</summary>
    public Decoding Begin(IReadOnlyList<int[]> prompts)
    {
        var decoding = new Decoding(this, prompts);
        decoding.ReadAll();
        return decoding;
    }

    public void Dispose()
    {
        _held?.Dispose();
        _session.Dispose();
        _sizes.Dispose();
    }

    /// <summary>Runs the graph on new tokens behind cached ones.</summary>
    /// <param name="ids">(B, S).</param>
    /// <param name="mask">(B, P + S) of 0 and 1.</param>
    /// <param name="rows">B.</param>
    /// <param name="past">Keys and values of each layer in turn; none before the first run.</param>
    /// <param name="keep">Whether to hand the caches back.</param>
    /// <returns>Logits (B, S, V), then keys and values of each layer.</returns>
    internal IReadOnlyList<OrtValue> Run(long[] ids, long[] mask, int rows, IReadOnlyList<OrtValue> past, bool keep)
    {
        using var idValue = OrtValue.CreateTensorValueFromMemory(ids, [rows, ids.Length / rows]);
        using var maskValue = OrtValue.CreateTensorValueFromMemory(mask, [rows, mask.Length / rows]);
        _session.BindInput(TrainingNames.InputIds, idValue);
        _session.BindInput(TrainingNames.AttentionMask, maskValue);
        using var lastValue = BindLengths(_session, mask, rows);
        _sizes.Bind(_session, rows, ids.Length / rows, mask.Length / rows);
        var empty = past.Count > 0 ? [] : InferenceInterface.PastNames(Layers).Select(name => Empty(_session.Inputs[name], rows)).ToList();
        try
        {
            foreach (var (name, value) in InferenceInterface.PastNames(Layers).Zip(past.Count > 0 ? past : empty))
                _session.BindInput(name, value);
            _session.BindNewOutputs([(TrainingNames.Logits, true), .. keep ? InferenceInterface.PresentNames(Layers).Select(name => (name, false)) : []]);
            _session.Run(GraphSession.NoRecording);
            return _session.TakeOutputs();
        }
        finally
        {
            empty.ForEach(value => value.Dispose());
        }
    }

    /// <summary>Binds the tokens of each row, where the graph is given them; null where it counts them.</summary>
    internal static OrtValue? BindLengths(GraphSession session, long[] mask, int rows)
    {
        if (!session.Inputs.ContainsKey(GivenLengths.Last))
            return null;
        var value = OrtValue.CreateTensorValueFromMemory(GivenLengths.Of(mask, rows), [rows]);
        session.BindInput(GivenLengths.Last, value);
        return value;
    }

    private HeldCaches TakeCaches(int rows, int room)
    {
        var kept = _held;
        _held = null;
        if (kept?.Rows == rows && kept.Room >= room)
            return kept;
        kept?.Dispose();
        var rounded = Math.Min(MaxPositions, (room + RoomStep - 1) / RoomStep * RoomStep);
        return new HeldCaches(_session, _sizes, Layers, rows, rounded, VocabularySize, _sizes.AreAll ? ++_recordings : GraphSession.NoRecording);
    }

    private void GiveBack(HeldCaches caches)
    {
        _held?.Dispose();
        _held = caches;
    }

    /// <summary>A cache of no tokens, (B, H, 0, D).</summary>
    private static OrtValue Empty(NodeMetadata cache, int rows) =>
        GraphSession.Allocate(cache.ElementDataType, [rows, cache.Dimensions[1], 0, cache.Dimensions[3]]);
}
