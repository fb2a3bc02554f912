using Halo.Ir;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;

namespace Halo.Runner.Export;

/// <summary>The rows over which the inputs of linear layers are measured before weights are rounded.</summary>
internal static class Calibration
{
    /// <summary>Rows that a model writes, and the tokens of each.</summary>
    private const int Rows = 128, Tokens = 128;

    /// <summary>Other rows than those that exports are compared over.</summary>
    private const ulong Seed = 7177;

    /// <summary>Longest row of a file.</summary>
    private const int LongestRow = 1024;

    /// <summary>Rows that are taken of a run's training file.</summary>
    private const int TrainingRows = 512;

    /// <summary>The second moments of inputs by the name of the weight, computed when they are read.</summary>
    /// <exception cref="HaloException">A defect of the file, or a model without BOS token.</exception>
    public static IReadOnlyDictionary<string, Tensor> Of(ExportSettings settings, InferenceSource source, Action<string> say)
    {
        var session = new SessionSettings { Threads = settings.Threads };
        var rows = (settings.CalibrationData ?? source.Train) is { } path
            ? ComparedRows.OfData(path, source, Math.Min(LongestRow, source.Config.CachedPositions),
                settings.CalibrationData is null ? TrainingRows : int.MaxValue)
            : Written(source, session);
        say($"calibrate over {rows.What}");
        return new InputMoments(() => InferenceProjection.Of(source, rotate: settings.Rotate), [.. rows.Prompts.Select(r => r.Ids)], session).ByWeight;
    }

    private static ComparedRows Written(InferenceSource source, SessionSettings session)
    {
        using var decoder = new DecoderSession(GraphSession.Of("inference graph", InferenceProjection.Of(source), session), source.Config.CachedPositions);
        return ComparedRows.Written(decoder, source.Config, source.Config.CachedPositions, Rows, Tokens, Seed);
    }
}
