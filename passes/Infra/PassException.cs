using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>A pass met what it cannot honour. The model is half rewritten and must not be used.</summary>
public class PassException : HaloException
{
    /// <param name="pass">The pass's name.</param>
    /// <param name="subject">What it is about, if it is not one node.</param>
    /// <param name="expected">What had to hold.</param>
    /// <param name="found">What was there instead.</param>
    /// <param name="advice">What the user can do: one sentence that ends with a full stop.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public PassException(string pass, string subject, string expected, string found, string advice, Exception? inner = null)
        : base(pass, subject, expected, found, advice, inner) { }

    /// <param name="pass">The pass's name.</param>
    /// <param name="node">The node it is about.</param>
    /// <param name="role">What the node is to this pass: <c>forward</c>, <c>E of layers.0.q_proj</c>; empty if nothing in particular.</param>
    /// <param name="expected">What had to hold.</param>
    /// <param name="found">What was there instead.</param>
    /// <param name="advice">What the user can do: one sentence that ends with a full stop.</param>
    public PassException(string pass, Node node, string role, string expected, string found, string advice)
        : this(pass, role.Length == 0 ? node.ToString() : $"{node.ToString()[..^1]}, {role})", expected, found, advice) { }

    /// <summary>The passes that had run when this one failed; set by <see cref="PassManager"/>.</summary>
    public IReadOnlyList<string> PassesSoFar { get; private init; } = [];

    internal static PassException After(IReadOnlyList<string> passes, HaloException cause) =>
        new(cause.Source!, cause.Subject, cause.Expected, cause.Found,
            $"{cause.Advice} Nothing is written; passes before: {(passes.Count == 0 ? "none" : string.Join(", ", passes))}.", cause)
        {
            PassesSoFar = passes,
        };
}
