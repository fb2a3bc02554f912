using Halo.Ir;
using Halo.Text;

namespace Halo.Analysis;

/// <summary>A model that breaks a rule every model must keep; the message ends with the text of the graph nearby.</summary>
public sealed class VerifierException : HaloException
{
    public VerifierException(string subject, string expected, string found)
        : base(Verifier.Name, subject, expected, found, "If a pass made this graph, it has a defect; otherwise export the graph again.") { }

    public VerifierException(Node node, string expected, string found)
        : base(Verifier.Name, node.ToString(), expected, found,
            $"If a pass made this graph, it has a defect; otherwise export the graph again.\n{GraphPrinter.PrintAround(node)}") =>
        Node = node;

    /// <summary>The node at fault, if it is one node.</summary>
    public Node? Node { get; }
}
