using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>The gradient rules of all operators, a file per family.</summary>
internal static class GradientRules
{
    private static readonly Dictionary<(string Domain, string OpType), GradientRule> Rules = Collect();

    /// <summary>Every operator with a rule.</summary>
    public static IReadOnlyCollection<(string Domain, string OpType)> All => Rules.Keys;

    public static GradientRule? Find(Node node) => Rules.GetValueOrDefault((node.Domain, node.OpType));

    private static Dictionary<(string, string), GradientRule> Collect()
    {
        var rules = new Dictionary<(string, string), GradientRule>();
        foreach (var (domain, family) in new (string, Dictionary<string, GradientRule>)[]
        {
            ("", ElementwiseGradients.Rules), ("", ActivationGradients.Rules), ("", ReductionGradients.Rules), ("", ProductGradients.Rules),
            ("", ReshapingGradients.Rules), ("", SlicingGradients.Rules), ("", IndexingGradients.Rules), ("", NormalizationGradients.Rules),
            ("", LossGradients.Rules), ("", AttentionGradients.Rules), ("", StraightThrough.Rules),
            ("com.microsoft", MicrosoftGradients.Rules), (HaloDomain.Name, HaloGradients.Rules),
        })
        {
            foreach (var (opType, rule) in family)
                rules.Add((domain, opType), rule);
        }
        return rules;
    }
}
