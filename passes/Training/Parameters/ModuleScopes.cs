using System.Text.RegularExpressions;
using Halo.Ir;

namespace Halo.Passes.Training.Parameters;

/// <summary>The modules of the exported program in which a node stood: <c>m.model.layers.0.input_layernorm</c>, by what exporters leave behind.</summary>
internal static partial class ModuleScopes
{
    /// <summary>Torch's dynamo exporter: a Python list of the scopes around the node, outermost first.</summary>
    private const string NameScopes = "pkg.torch.onnx.name_scopes";

    /// <summary>Scopes of a node, outermost first; torchscript has them in the node's name, <c>/m/model/layers.0/input_layernorm/Mul_1</c>.</summary>
    public static IReadOnlyList<string> Of(Node node)
    {
        if (node.Metadata.TryGetValue(NameScopes, out var list))
            return [.. Quoted().Matches(list).Select(m => m.Groups[1].Value).Where(s => s.Length > 0)];
        if (!node.Name.StartsWith('/'))
            return [];
        var parts = node.Name[1..].Split('/');
        return [.. Enumerable.Range(1, parts.Length).Select(n => string.Join('.', parts.Take(n)))];
    }

    /// <summary>The module a parameter belongs to: its name up to the last dot.</summary>
    public static string ModuleOf(string parameter) => parameter.LastIndexOf('.') is var dot and > 0 ? parameter[..dot] : parameter;

    /// <summary>Whether the last components of <paramref name="path"/> are those of <paramref name="name"/>; wrappers add components in front.</summary>
    public static bool EndsWith(string path, string name) =>
        path.EndsWith(name, StringComparison.Ordinal) && (path.Length == name.Length || path[path.Length - name.Length - 1] == '.');

    [GeneratedRegex("'([^']*)'")]
    private static partial Regex Quoted();
}
