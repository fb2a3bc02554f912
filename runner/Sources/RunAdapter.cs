using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Passes.Training;
using Halo.Runner.Data;
using Halo.Runner.Training;

namespace Halo.Runner.Sources;

/// <summary>The adapter of a run: what it changes of its base, and the values that it begins with.</summary>
/// <param name="Config">As PEFT has it.</param>
/// <param name="Layers">Of the base that it changes.</param>
/// <param name="Folder">Where its values are; null where it is begun anew.</param>
/// <param name="Seed">Draws the values of one that is begun anew.</param>
internal sealed record RunAdapter(AdapterConfig Config, AdapterLayers Layers, string? Folder, int Seed)
{
    /// <summary>Of RoSA that is begun anew: the places of each module's elements.</summary>
    public IReadOnlyDictionary<string, long[]>? Mask { get; set; }

    /// <summary>The pass that adds it to a forward graph.</summary>
    public AddAdapters Pass => AdapterPasses.Of(Layers, Config.Dropout);

    /// <summary>The adapter that a config calls for; null where it calls for none.</summary>
    /// <param name="config">Keys <c>adapter</c> and <c>adapter_*</c>.</param>
    /// <param name="folder">The model as a Hugging Face folder, whose config.json says its layers; else the weights do.</param>
    /// <exception cref="HaloException">It does not fit the model, or a field of its config is not honoured.</exception>
    public static RunAdapter? Of(TrainConfig config, HuggingFaceSource? folder)
    {
        var adapter = config.Adapter is { } path ? AdapterConfig.Load(path) : config.AdapterKind is AdapterKind.None or AdapterKind.Efqat ? null : Anew(config);
        if (adapter is null)
            return null;
        var begun = config.Adapter is { } given && File.Exists(Path.Combine(given, AdapterFolder.WeightsName)) ? given : null;
        if (begun is null && adapter.Read is { } read && read["init_lora_weights"] is { } init && init.GetValueKind() == System.Text.Json.JsonValueKind.False)
        {
            throw new HaloException("adapter", $"{config.Adapter}, 'init_lora_weights'", "true or \"gaussian\" for one that is begun anew", "false",
                "Change it, or give the adapter's weights.");
        }
        if (folder is not null)
            return new RunAdapter(adapter, AdapterLayers.Of(adapter, LlamaParameters.Of(folder.Config)), begun, config.Seed);
        using var checkpoint = CheckpointReader.Open(StartingFiles.Weights(config));
        return new RunAdapter(adapter, AdapterLayers.Of(adapter, checkpoint), begun, config.Seed);
    }

    /// <summary>Throws unless the adapter's files, where it has some, are for this base.</summary>
    /// <exception cref="HaloException">They are not.</exception>
    public void Check(CheckpointReader weights)
    {
        if (Folder is not null)
            AdapterFolder.Open(Folder, weights).Dispose();
    }

    /// <summary>Writes what it begins with, in float32, as PEFT saves an adapter.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="weights">The base.</param>
    public void Write(string folder, CheckpointReader weights)
    {
        using var begun = Folder is null ? null : AdapterFolder.Open(Folder, weights);
        var values = Layers.Parameters.Select(p => SafetensorsSource.From(p.Name, ElementType.Float, p.Shape.Sizes,
            begun?.Tensors[p.Name].ReadFloats() ?? Drawn(p.Name, p.Shape, weights)));
        var places = Layers.Layers.Where(l => l.Sparse > 0).Select(l => new SafetensorsSource(AdapterNames.Places(l.Module), ElementType.Int64, [l.Sparse],
            begun is null ? Chosen(l.Module) : begun.Tensors[AdapterNames.Places(l.Module)].Bytes().ToArray()));
        AdapterFolder.Write(folder, Config, values.Concat(places), BaseDigest.Of(weights));
    }

    private byte[] Chosen(string module) => Mask is { } mask ? System.Runtime.InteropServices.MemoryMarshal.AsBytes(mask[module].AsSpan()).ToArray()
        : throw new HaloException("prepare", "adapter_kind", "lora or dora, or rosa in halo train", "rosa, whose elements are chosen by training",
            "Train it with halo train.");

    private static AdapterConfig Anew(TrainConfig config)
    {
        var targets = config.AdapterTargets.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return new AdapterConfig
        {
            Rank = config.AdapterRank,
            Alpha = config.AdapterAlpha ?? 2.0 * config.AdapterRank,
            RankStabilized = config.AdapterRslora,
            Dora = config.AdapterKind == AdapterKind.Dora,
            Density = config.AdapterKind == AdapterKind.Rosa ? config.AdapterDensity : 0,
            Dropout = config.AdapterDropout,
            TargetPattern = targets is [AdapterConfig.AllLinear] ? AdapterConfig.AllLinear : null,
            Targets = targets is [AdapterConfig.AllLinear] ? [] : targets,
        };
    }

    /// <summary>
    /// A uniform in +-1 / sqrt(in), or normal over the rank; B zero; m the lengths of W's rows; saved modules as they are. [PEFT, reset_lora_parameters]
    /// </summary>
    private float[] Drawn(string name, Shape shape, CheckpointReader weights)
    {
        var values = new float[shape.ElementCount!.Value];
        var module = Layers.Layers.FirstOrDefault(l => l.Parameters.Any(p => p.Name == name))?.Module;
        if (module is null)
            return weights.ReadFloats(name[AdapterNames.Prefix.Length..]);
        if (name == AdapterNames.Magnitude(module))
        {
            var columns = (int)weights[module + ".weight"].Shape[1];
            return [.. weights.ReadFloats(module + ".weight").Chunk(columns).Select(row => (float)Math.Sqrt(row.Sum(v => (double)v * v)))];
        }
        if (name == AdapterNames.B(module) || name == AdapterNames.Elements(module))
            return values;
        var isNormal = Config.Read?["init_lora_weights"]?.GetValueKind() == System.Text.Json.JsonValueKind.String;
        var random = SplitMix64.Stream((ulong)Seed, name.Aggregate(0UL, (hash, letter) => (hash * 1099511628211) ^ letter));
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)(isNormal ? Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()) / shape.Sizes[0]
                : ((2 * random.NextDouble()) - 1) / Math.Sqrt(shape.Sizes[1]));
        }
        return values;
    }
}
