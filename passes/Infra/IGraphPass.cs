using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>One rewrite of a model, in place.</summary>
/// <remarks>
/// A pass is a record whose constructor parameters are its options, so that a pipeline is text. A second run rewrites nothing.
/// </remarks>
public interface IGraphPass
{
    /// <summary>Kebab-case of the type's name, or what <see cref="PassNameAttribute"/> says: pipeline text, golden folder, diagnostics.</summary>
    string Name { get; }

    /// <summary>What the pass does to the values that the graph computes.</summary>
    ValueEffect Effect { get; }

    /// <summary>Throws <see cref="PassException"/> where the input is not what this pass needs.</summary>
    void Requires(Model model) { }

    /// <summary>Rewrites in place and returns the number of rewrites.</summary>
    PassResult Run(Model model, PassContext context);

    /// <summary>Throws <see cref="PassException"/> where what this pass promised does not hold.</summary>
    void Ensures(Model model) { }
}

/// <param name="Rewrites">How many places of the graph were changed; 0 where nothing was.</param>
public sealed record PassResult(int Rewrites);
