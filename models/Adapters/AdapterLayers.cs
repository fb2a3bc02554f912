using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Llama;
using Halo.Models.Weights;

namespace Halo.Models.Adapters;

/// <summary>One layer of the base with an adapter: Y = X W^T + scale X A^T B^T, with DoRA each row of Y over |W + scale B A| times m.</summary>
/// <param name="Module">Its name in the base.</param>
/// <param name="Weight">(out, in) of W.</param>
/// <param name="Rank">Rows of A (rank, in), columns of B (out, rank).</param>
/// <param name="Scale">Multiplies B A.</param>
/// <param name="Dora">There is a vector m (out).</param>
/// <param name="Sparse">Elements of S (out, in), which X S^T adds (RoSA); 0: there is none.</param>
public sealed record AdapterLayer(string Module, Shape Weight, int Rank, double Scale, bool Dora, long Sparse = 0)
{
    /// <summary>Names and shapes, as graphs have them.</summary>
    public IEnumerable<(string Name, Shape Shape)> Parameters =>
    [
        (AdapterNames.A(Module), Shape.Of(Rank, Weight.Sizes[1])), (AdapterNames.B(Module), Shape.Of(Weight.Sizes[0], Rank)),
        .. Dora ? [(AdapterNames.Magnitude(Module), Shape.Of(Weight.Sizes[0]))] : Array.Empty<(string, Shape)>(),
        .. Sparse > 0 ? [(AdapterNames.Elements(Module), Shape.Of(Sparse))] : Array.Empty<(string, Shape)>(),
    ];
}

/// <summary>An adapter's config, resolved against a base: which layers it changes and how, and what of the base is trained as a whole.</summary>
/// <param name="Layers">In the order of the base's parameters.</param>
/// <param name="Saved">Parameters of the base that the adapter has its own copies of.</param>
/// <param name="Modules">Every linear layer of the base, adapted or not.</param>
public sealed record AdapterLayers(
    IReadOnlyList<AdapterLayer> Layers, IReadOnlyList<(string Name, Shape Shape)> Saved, IReadOnlyList<string> Modules)
{
    /// <summary>Every parameter of the adapter, as graphs have them.</summary>
    public IEnumerable<(string Name, Shape Shape)> Parameters =>
        Layers.SelectMany(l => l.Parameters).Concat(Saved.Select(s => (AdapterNames.Saved(s.Name), s.Shape)));

    /// <param name="config">Of the adapter.</param>
    /// <param name="checkpoint">The base's tensors; headers are read.</param>
    /// <exception cref="HaloException">A target is no linear layer, or nothing is.</exception>
    public static AdapterLayers Of(AdapterConfig config, CheckpointReader checkpoint) =>
        Of(config, checkpoint.Tensors.Values.Select(t => (t.Name, Shape.Of([.. t.Shape]))));

    /// <param name="config">Of the adapter.</param>
    /// <param name="parameters">The base's, as its checkpoint names them.</param>
    /// <exception cref="HaloException">A target is no linear layer, or nothing is.</exception>
    public static AdapterLayers Of(AdapterConfig config, IEnumerable<(string Name, Shape Shape)> parameters)
    {
        var tensors = parameters.ToDictionary(t => t.Name, t => t.Shape, StringComparer.Ordinal);
        var isAll = config.TargetPattern == AdapterConfig.AllLinear;
        var targets = isAll ? config with { TargetPattern = ".*" } : config;
        var (layers, linear) = (new List<AdapterLayer>(), new List<string>());
        foreach (var (name, shape) in tensors.Where(t => t.Value.Rank == 2 && ModuleOf(t.Key) is not null))
        {
            var module = ModuleOf(name)!;
            if (name != LlamaParameters.Embedding)
                linear.Add(module);
            if (!ModulePatterns.IsTarget(targets, module) || (isAll && name is LlamaParameters.Head or LlamaParameters.Embedding))
                continue;
            if (name == LlamaParameters.Embedding)
                throw Refused("target_modules", "linear layers", $"the embedding '{module}'", "Leave it out, or name it in modules_to_save.");
            layers.Add(new AdapterLayer(module, shape, config.RankOf(module), config.ScaleOf(module), config.Dora, config.ElementsOf(shape)));
        }
        var modules = tensors.Keys.Select(ModuleOf).OfType<string>().ToList();
        var saved = tensors
            .Where(t => config.SavedModules.Any(m => ModulePatterns.IsSaved(m, ModuleOf(t.Key) ?? t.Key))).Select(t => (t.Key, t.Value)).ToList();
        if (config.SavedModules.FirstOrDefault(m => !modules.Any(module => ModulePatterns.IsSaved(m, module))) is { } none)
            throw Refused("modules_to_save", "modules of the base", $"'{none}'", Nearest(none, modules));
        if (!tensors.ContainsKey(LlamaParameters.Head) && saved.Any(s => s.Key is LlamaParameters.Embedding or LlamaParameters.Head))
            throw Refused("modules_to_save", "modules of their own", "the embedding, which is the head's weight too", "Leave it out, or untie the base.");
        if (!isAll && config.Targets.FirstOrDefault(t => !modules.Any(m => m == t || m.EndsWith("." + t, StringComparison.Ordinal))) is { } unknown)
            throw Refused("target_modules", "linear layers of the base", $"'{unknown}'", Nearest(unknown, modules));
        if (layers.Count == 0)
            throw Refused("target_modules", "some linear layer of the base", "none that it matches", "Name modules of the base, or all-linear.");
        return new AdapterLayers(layers, saved, linear);
    }

    private static string? ModuleOf(string parameter) => parameter.EndsWith(".weight", StringComparison.Ordinal) ? parameter[..^7] : null;

    private static string Nearest(string name, List<string> modules)
    {
        var ends = modules.Select(m => m[(m.LastIndexOf('.') + 1)..]).Distinct();
        return NearestName.Of(name, ends) is { } nearest ? $"Did you mean '{nearest}'?" : $"Modules are named such as '{modules[0]}'.";
    }

    private static HaloException Refused(string subject, string expected, string found, string advice) => new("adapter", subject, expected, found, advice);
}
