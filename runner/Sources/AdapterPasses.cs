using Halo.Models.Adapters;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;

namespace Halo.Runner.Sources;

/// <summary>From the layers that an adapter changes to the pass that adds it.</summary>
internal static class AdapterPasses
{
    /// <param name="layers">Of the adapter, over its base.</param>
    /// <param name="dropout">Share of an adapter's inputs that is dropped; 0 where nothing is trained.</param>
    public static AddAdapters Of(AdapterLayers layers, double dropout)
    {
        var shapes = layers.Layers.ToDictionary(l => l.Module, l => new AdapterShape(
            l.Dora ? AdapterKind.Dora : l.Sparse > 0 ? AdapterKind.Rosa : AdapterKind.Lora, l.Rank, l.Scale, l.Sparse));
        var rules = new List<(string Pattern, AdapterShape Shape)>();
        foreach (var kind in layers.Modules.GroupBy(EndOf))
        {
            var adapted = kind.Where(shapes.ContainsKey).Select(m => (Module: m, Shape: shapes[m])).ToList();
            if (adapted.Count == kind.Count() && adapted.Count > 1 && adapted.All(m => m.Shape == adapted[0].Shape))
                rules.Add(($"*.{kind.Key}", adapted[0].Shape));
            else
                rules.AddRange(adapted);
        }
        return new AddAdapters(new LayerRules<AdapterShape>(rules), layers.Saved.Count == 0 ? null : new NamePatterns([.. layers.Saved.Select(s => s.Name)]),
            (float)dropout);
    }

    private static string EndOf(string module) => module[(module.LastIndexOf('.') + 1)..];
}
