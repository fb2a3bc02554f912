using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>Checks what every model must keep, whoever made it. Linear in the size of the model.</summary>
public static class Verifier
{
    internal const string Name = "verify";

    /// <summary>Domains whose operators ONNX Runtime has kernels for; nodes of any other domain call a function of the model.</summary>
    private static readonly string[] RuntimeDomains = ["", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training", "com.microsoft"];

    /// <summary>Throws if the model breaks a rule.</summary>
    /// <param name="model">The model to look at; it is not changed.</param>
    /// <param name="domainsWithKernels">Further domains whose nodes need no function in the model.</param>
    /// <exception cref="VerifierException">The first rule that is broken.</exception>
    public static void Check(Model model, params ReadOnlySpan<string> domainsWithKernels)
    {
        var free = new HashSet<string>([.. RuntimeDomains, .. domainsWithKernels], StringComparer.Ordinal);
        IrRules.Check(model);
        GraphRules.Check(model.Graph);
        foreach (var node in AllNodes(model.Graph))
        {
            CheckCall(model, node, model.Opsets, free);
            foreach (var attribute in node.Attributes.Values)
            {
                if (attribute.ReferenceTo is { } reference)
                    throw new VerifierException(node, $"a value for '{attribute.Name}', outside a function", $"a reference to '{reference}'");
            }
        }
        foreach (var function in model.Functions)
            CheckFunction(model, function, free);
        CheckRecursion(model);
    }

    /// <summary>The nodes of a graph and of the graphs inside it.</summary>
    internal static IEnumerable<Node> AllNodes(Graph graph)
    {
        foreach (var node in graph.Nodes)
        {
            yield return node;
            foreach (var inner in node.Subgraphs.SelectMany(AllNodes))
                yield return inner;
        }
    }

    private static void CheckFunction(Model model, Function function, HashSet<string> free)
    {
        var name = $"function {function.Domain}.{function.Name}{(function.Overload.Length > 0 ? ":" + function.Overload : "")}";
        if (function.Body.Initializers.Count > 0)
            throw new VerifierException(name, "no initializers in a function body", $"'{function.Body.Initializers[0].Name}'");
        GraphRules.Check(function.Body);
        var attributes = function.AttributeNames.Concat(function.AttributeDefaults.Select(a => a.Name)).ToHashSet(StringComparer.Ordinal);
        foreach (var node in AllNodes(function.Body))
        {
            CheckCall(model, node, function.Opsets, free);
            foreach (var attribute in node.Attributes.Values)
            {
                if (attribute.ReferenceTo is { } reference && !attributes.Contains(reference))
                    throw new VerifierException(node, $"an attribute of {name}", $"a reference to '{reference}'");
            }
        }
    }

    /// <summary>The domain is imported where the node stands, and the function it calls is there and fits.</summary>
    private static void CheckCall(Model model, Node node, IReadOnlyDictionary<string, long> opsets, HashSet<string> free)
    {
        if (!opsets.ContainsKey(node.Domain))
            throw new VerifierException(node, $"domain '{node.Domain}' in the operator sets of its model or function",
                opsets.Count == 0 ? "none" : $"'{string.Join("', '", opsets.Keys)}'");
        if (model.FindFunction(node) is not { } function)
        {
            if (node is { Overload: "", Facts.Role: OperatorRole.Collective }) // no function says what several ranks do together
                return;
            if (node.Overload.Length > 0 || !free.Contains(node.Domain))
                throw new VerifierException(node, $"a function '{node.Domain}.{node.OpType}' with overload '{node.Overload}' in the model", "none");
            return;
        }
        if (node.Inputs.Count > function.Body.Inputs.Count || node.Outputs.Count > function.Body.Outputs.Count)
        {
            throw new VerifierException(node, $"at most {function.Body.Inputs.Count} inputs and {function.Body.Outputs.Count} outputs, as its function has",
                $"{node.Inputs.Count} and {node.Outputs.Count}");
        }
        foreach (var required in function.AttributeNames)
        {
            if (!node.Attributes.ContainsKey(required))
                throw new VerifierException(node, $"the attribute '{required}' of its function", "none");
        }
    }

    private static void CheckRecursion(Model model)
    {
        var isDone = new Dictionary<(string, string, string), bool>(); // false while on the way down
        void Visit(Function function)
        {
            isDone[function.Key] = false;
            foreach (var node in AllNodes(function.Body))
            {
                if (model.FindFunction(node) is not { } called)
                    continue;
                if (!isDone.TryGetValue(called.Key, out var done))
                    Visit(called);
                else if (!done)
                    throw new VerifierException(node, "functions that do not call themselves", $"a call of {called.Domain}.{called.Name} inside it");
            }
            isDone[function.Key] = true;
        }
        foreach (var function in model.Functions)
        {
            if (!isDone.ContainsKey(function.Key))
                Visit(function);
        }
    }
}
