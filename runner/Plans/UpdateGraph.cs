using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Passes.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>The update of what a training graph trains: of whole parameters, or of the rows that have a gradient.</summary>
internal static class UpdateGraph
{
    /// <param name="interface">The training graph's.</param>
    /// <param name="settings">Of the whole run.</param>
    /// <param name="gradient">The type of gradients; null: that of parameters.</param>
    public static Model Of(TrainingInterface @interface, AdamWSettings settings, ElementType? gradient = null)
    {
        var model = AdamWGraph.Build(@interface.Updated, settings, @interface.ParameterType, gradient);
        var shapes = @interface.Trained.ToDictionary(p => p.Name, p => p.Shape, StringComparer.Ordinal);
        RowUpdates.Apply(model, @interface.Chosen.Select(c => (c.Parameter, shapes[c.Parameter], ChooseRows.Prefix + c.Parameter)));
        return model;
    }
}
