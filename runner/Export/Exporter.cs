using Halo.Io;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Chat;
using Halo.Models.GenAi;
using Halo.Models.HuggingFace;
using Halo.Models.Weights;
using Halo.Passes.Canonical.Precision;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Serialization;

namespace Halo.Runner.Export;

/// <summary>Writes a model as a folder that is served, and holds what it wrote against the graph it was made of.</summary>
internal static class Exporter
{
    public const string ParityName = "parity.json";

    private const string ModelKind = "model";

    /// <summary>The folder, whole or not at all: one whose comparison is out of bounds is not left behind.</summary>
    /// <param name="settings">What is asked for.</param>
    /// <param name="say">Takes lines about what is done.</param>
    /// <returns>What the comparison found; null where none was asked for.</returns>
    /// <exception cref="HaloException">Settings, source, output or data are not right.</exception>
    /// <exception cref="InvalidOperationException">The comparison is out of bounds.</exception>
    public static Parity? Write(ExportSettings settings, Action<string> say)
    {
        settings.Check();
        using var source = InferenceSource.Open(settings.Source);
        if (settings.Adapter is { } adapter)
            source.Adapt(adapter);
        if ((settings.Merge || settings.Beside) && source.Adapter is null)
        {
            throw new HaloException("export", settings.Merge ? "--merge" : "--beside", "--adapter with it, or a run that trained one", "neither",
                "Leave it out, or give the adapter.");
        }
        var beside = settings.Beside ? new AdapterBeside(source.Adapter!.Value.Layers, source.Adapter.Value.Tensors) : null;
        beside?.Check();
        CheckPlace(settings, source);
        FiniteValues.Check(source.Weights.Path, source.Weights.Tensors.Values);
        var session = new SessionSettings { Threads = settings.Threads };
        var weights = settings.Weights ?? (settings.To == ExportTarget.Onnx ? WeightType.Fp32 : NameOf(source.Config.DType));
        Parity? parity = null;
        OwnedFolder.Write(settings.Output, KindOf(settings), folder =>
        {
            if (settings.To == ExportTarget.Hf)
            {
                HuggingFaceExport.Fill([source.Companions], source.Tensors, folder, TypeOf(weights));
                if (File.Exists(Path.Combine(source.Companions, "tokenizer.json")))
                    GenerationConfig.WriteStops(folder, [.. StopTokens.Of(source.Companions, source.Config, source.OpenTokenizer())]);
            }
            else
                WriteInferenceFolder(settings, source, weights, beside, folder, say);
            say($"compare with {source.Path}");
            parity = Compare(settings, session, weights, source, beside, folder);
            if (settings.Merge)
                WriteMerge(settings, session, weights, source, parity, folder, say);
            if (parity is null)
                return;
            var bounds = settings.BoundsOf(weights);
            AtomicFile.WriteText(Path.Combine(folder, ParityName), parity.ToJson(bounds).ToJsonString(JsonText.Readable) + "\n");
            if (parity.Broken(bounds) is { Count: > 0 } broken)
            {
                throw new InvalidOperationException(
                    $"export: {settings.Output}: not written, as it differs too much from {source.Path}: {string.Join("; ", broken)}. "
                    + "Choose weights of more bits, --calibrate or --rotate, or allow more with --min-agreement and --max-kl.");
            }
        });
        return parity;
    }

    private static void WriteMerge(
        ExportSettings settings, SessionSettings session, WeightType weights, InferenceSource source, Parity? parity, string folder, Action<string> say)
    {
        var (layers, tensors) = source.Adapter!.Value;
        var unadapted = default(double?);
        if (parity?.Validation is not null)
        {
            using var forward = new ForwardLogits(source, session, adapted: false);
            var rows = ComparedRows.OfData((settings.Data ?? source.Valid)!, source, forward.Sequence, prompts: 0).Valid!;
            var own = new LogitsDifference();
            foreach (var (row, logits) in rows.Zip(forward.Of([.. rows.Select(r => r.Ids)])))
                own.Add(logits, logits, forward.Vocabulary, row.Ids, row.LossMask);
            unadapted = own.Loss;
        }
        var format = settings.Rotate || settings.Calibrate ? null : MergeReport.FormatOf(weights);
        var report = new MergeReport(MergeReport.LayersOf(source.Weights, layers, tensors, format), parity?.Validation ?? parity?.Exported, unadapted,
            parity?.ForwardLoss, parity?.Validation?.Loss);
        var least = settings.MinEffect ?? MergeReport.LeastOf(weights);
        AtomicFile.WriteText(Path.Combine(folder, MergeReport.FileName), report.ToJson(least).ToJsonString(JsonText.Readable) + "\n");
        say(report.Line);
        if (report.Remains < least)
        {
            throw new InvalidOperationException($"export: {settings.Output}: not written, as rounding the merged weights undoes the adapter: {report.Line}, "
                + $"expected at least {least:P0}. Choose weights of more bits, --calibrate or --rotate, or allow less with --min-effect.");
        }
    }

    private static void WriteInferenceFolder(
        ExportSettings settings, InferenceSource source, WeightType weights, AdapterBeside? beside, string folder, Action<string> say)
    {
        var tokenizer = source.OpenTokenizer();
        var moments = settings.Calibrate ? Calibration.Of(settings, source, say) : null;
        var model = InferenceProjection.Of(source, weights, settings.Rotate, moments, settings.Activations, beside);
        OnnxWriter.Write(model, Path.Combine(folder, InferenceFolder.ModelName), externalData: true);
        if (beside is not null)
            OnnxAdapterFile.Write(Path.Combine(folder, AdapterBeside.FileName), beside.Values(settings.PrecisionOf(weights).Type()));
        HuggingFaceFolder.WriteCompanions([source.Companions], folder);
        var stops = StopTokens.Of(source.Companions, source.Config, tokenizer);
        GenAiConfig.Of(source.Config, [.. stops], source.Config.CachedPositions, tokenizer.PadId).Write(folder);
    }

    private static Parity? Compare(
        ExportSettings settings, SessionSettings session, WeightType weights, InferenceSource source, AdapterBeside? beside, string folder)
    {
        var data = settings.Data ?? source.Valid;
        if (settings.Prompts == 0 && data is null)
            return null;
        using var forward = new ForwardLogits(source, session);
        if (settings.To == ExportTarget.Hf)
        {
            using var written = InferenceSource.Open(folder);
            using var reopened = new ForwardLogits(written, session);
            using var writer = InferenceModel.Open(folder, session);
            return Parity.Of(weights, settings.PrecisionOf(weights), Rows(writer.Decoder), forward, reopened, cached: null);
        }
        using var graph = new AdaptedSession(new GraphSession(InferenceFolder.Open(folder).ModelPath, session),
            beside?.Values(settings.PrecisionOf(weights).Type()) ?? []);
        using var decoder = new DecoderSession(graph.Session, source.Config.CachedPositions);
        var rows = Rows(decoder);
        return Parity.Of(weights, settings.PrecisionOf(weights), rows, forward, new DecoderLogits(decoder, cached: false), new DecoderLogits(decoder, cached: true));

        ComparedRows Rows(IDecoder from) => data is null ? ComparedRows.Written(from, source.Config, forward.Sequence, settings.Prompts)
            : ComparedRows.OfData(data, source, forward.Sequence, settings.Prompts);
    }

    /// <summary>Throws where nothing could be written, which would be found only after much work.</summary>
    private static void CheckPlace(ExportSettings settings, InferenceSource source)
    {
        if (Path.TrimEndingDirectorySeparator(Path.GetFullPath(settings.Output)) == Path.TrimEndingDirectorySeparator(source.Path))
            throw new HaloException("export", settings.Output, "a folder other than the source", "the source", "Choose another output.");
        OwnedFolder.CheckReplaceable(settings.Output, KindOf(settings));
    }

    private static string KindOf(ExportSettings settings) => settings.To == ExportTarget.Hf ? ModelKind : InferenceFolder.Kind;

    private static ElementType TypeOf(WeightType weights) => weights switch
    {
        WeightType.Bf16 => ElementType.BFloat16,
        WeightType.Fp16 => ElementType.Float16,
        _ => ElementType.Float,
    };

    private static WeightType NameOf(ElementType type) => type switch
    {
        ElementType.BFloat16 => WeightType.Bf16,
        ElementType.Float16 => WeightType.Fp16,
        _ => WeightType.Fp32,
    };
}
