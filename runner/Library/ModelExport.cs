using Halo.Runner.Export;

namespace Halo.Training;

/// <summary>Writes what was trained as a folder that is served, and holds it against the graph that was trained.</summary>
public static class ModelExport
{
    /// <summary>Writes the folder, whole or not at all: one that is too far from its source is not left behind.</summary>
    /// <param name="settings">Source, output, how weights are stored, and how far the result may be off.</param>
    /// <param name="say">Takes lines about what is done; null: nobody is told.</param>
    /// <exception cref="HaloException">Settings, source, output or data are not right.</exception>
    /// <exception cref="InvalidOperationException">The result is further from its source than the settings allow.</exception>
    public static ExportResult Run(ExportSettings settings, Action<string>? say = null)
    {
        Outputs.Check("export", [(nameof(settings.Output), settings.Output)], settings.Source, settings.Data, settings.CalibrationData, settings.Adapter);
        var parity = Exporter.Write(settings, say ?? (_ => { }));
        var shown = parity?.Validation ?? parity?.Exported;
        return new ExportResult(Path.GetFullPath(settings.Output), shown?.Positions ?? 0, shown?.Agreement, shown?.Divergence);
    }
}

/// <summary>What an export came to.</summary>
/// <param name="Folder">model.onnx with a key/value cache, genai_config.json, tokenizer and parity.json; or a Hugging Face folder.</param>
/// <param name="Positions">Tokens that it was compared over; 0: it was not compared.</param>
/// <param name="Agreement">Share of them, from 0 to 1, at which the most likely next token is that of the source.</param>
/// <param name="Divergence">Mean Kullback-Leibler divergence from the source, in nats.</param>
public sealed record ExportResult(string Folder, long Positions, double? Agreement, double? Divergence);
