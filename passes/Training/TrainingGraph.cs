using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>What passes over training graphs have in common.</summary>
internal static class TrainingGraph
{
    /// <summary>Holds a model to being a training graph.</summary>
    /// <param name="model">Looked at.</param>
    /// <param name="pass">Named in the error.</param>
    /// <exception cref="PassException">It has no loss.</exception>
    public static void Require(Model model, string pass)
    {
        if (!model.Graph.Outputs.Any(o => o.Name == TrainingNames.Loss))
        {
            throw new PassException(pass, $"graph '{model.Graph.Name}'", "a training graph, with a loss",
                string.Join(", ", model.Graph.Outputs.Select(o => o.Name).Take(5)), "Run build-gradient first.");
        }
    }
}
