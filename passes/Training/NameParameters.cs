using System.Text.Json.Nodes;
using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training.Parameters;

namespace Halo.Passes.Training;

/// <summary>Makes graph inputs of the weights that a forward graph holds as initializers, with the names and the layout of their checkpoint.</summary>
/// <remarks>
/// Exporters rename and transpose weights, so they are found by value: an initializer is the checkpoint tensor that it equals, rounded to its type
/// first. One that is W^T becomes the parameter W and a Transpose. One that equals several tensors (norm weights that are all ones, which exporters
/// merge) is split per use, by the module in which the reader stood; several that equal one tensor (tied embeddings) become one parameter. Float
/// constants that equal no tensor and are not used as weights, such as RoPE frequencies and masks, stay. Without a checkpoint the weights keep
/// names and layout. Runs before deduplicate, fold-splats and fold-constants, which would merge or hide weights.
/// </remarks>
public sealed record NameParameters() : IGraphPass
{
    /// <summary>Tensors of old checkpoints that are no parameters.</summary>
    private const string Buffers = "rotary_emb.inv_freq";

    private const string GiveCheckpoint = "Give the checkpoint that the graph was exported from.";

    public string Name => "name-parameters";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context) =>
        new(context.Checkpoint is { } checkpoint ? FromCheckpoint(model.Graph, checkpoint, context) : AsTheyAre(model.Graph, context));

    private int AsTheyAre(Graph graph, PassContext context)
    {
        var weights = WeightUses.In(graph);
        foreach (var weight in weights)
        {
            var modules = weight.Uses.Select(u => ModuleScopes.Of(u.Node)).Where(s => s.Count > 1).Select(s => s[^2]).Distinct().ToList();
            if (weight.Initializer!.Sizes.Count == 1 && modules.Count > 1)
            {
                throw new PassException(Name, $"initializer '{weight.Name}'", "a weight of one module", $"one that {string.Join(" and ", modules)} share",
                    "The exporter merged weights of equal values; give the checkpoint, so that each gets its own name back.");
            }
        }
        foreach (var weight in weights)
        {
            var name = weight.Name;
            graph.Rename(weight, graph.FreeName(name + Replacement.Suffix));
            var input = graph.AddInput(new Value(name, weight.Type, weight.Shape));
            Note(context, name, name, transposed: false);
            weight.ReplaceUsesWith(input);
            HandOn(weight, input);
            graph.RemoveInitializer(weight);
        }
        return weights.Count;
    }

    private int FromCheckpoint(Graph graph, IReadOnlyDictionary<string, Tensor> all, PassContext context)
    {
        var inputs = graph.Inputs.Where(i => i.Initializer is null).Select(i => i.Name).ToHashSet(StringComparer.Ordinal);
        var checkpoint = all.Where(t => t.Value.Type.IsFloat() && !ModuleScopes.EndsWith(t.Key, Buffers)).ToDictionary(StringComparer.Ordinal);
        var open = checkpoint.Where(t => !inputs.Contains(t.Key)).ToDictionary(StringComparer.Ordinal);
        var matching = new ParameterMatching(open);
        var assigned = new Dictionary<(Value Initializer, ParameterMatch Match), List<Use>>();
        var strangers = new List<Value>();
        foreach (var value in graph.Initializers.Where(v => !v.IsGraphInput && v.Type.IsFloat() && v.Initializer!.ElementCount > 1))
        {
            var matches = matching.Of(value);
            if (matches.Count == 0)
                strangers.Add(value);
            else if (value.IsGraphOutput)
                throw new PassException(Name, $"initializer '{value.Name}'", "a weight that only nodes read", "a graph output", "Export the graph without it.");
            else
            {
                foreach (var use in value.Uses)
                    Assign(assigned, value, matches.Count == 1 ? matches[0] : OfUse(value, use, matches), use);
            }
        }
        CheckBothSides(graph, open.Keys.Except(assigned.Keys.Select(k => k.Match.Name)).ToList(), strangers, context);

        var parameters = new Dictionary<string, Value>(StringComparer.Ordinal);
        var order = open.Keys.Select((name, at) => (name, at)).ToDictionary(p => p.name, p => p.at, StringComparer.Ordinal);
        foreach (var ((initializer, match), uses) in assigned.OrderBy(a => order[a.Key.Match.Name]).ToList())
        {
            var name = initializer.Name; // before the parameter takes it
            if (!parameters.TryGetValue(match.Name, out var parameter))
                parameters.Add(match.Name, parameter = AddParameter(graph, match.Name, initializer.Type, open[match.Name].Shape));
            Replace(graph, initializer, match, uses, parameter);
            Note(context, match.Name, name, match.Transposed);
        }
        foreach (var initializer in assigned.Keys.Select(k => k.Initializer).Distinct())
            graph.RemoveInitializer(initializer);
        return assigned.Count;
    }

    private static void Assign(Dictionary<(Value, ParameterMatch), List<Use>> assigned, Value value, ParameterMatch match, Use use)
    {
        if (!assigned.TryGetValue((value, match), out var uses))
            assigned.Add((value, match), uses = []);
        uses.Add(use);
    }

    /// <summary>The tensor of the module in which the reader stood, or else the one that the initializer is called after.</summary>
    private ParameterMatch OfUse(Value value, Use use, IReadOnlyList<ParameterMatch> matches)
    {
        var reader = use.Node;
        var scopes = ModuleScopes.Of(reader);
        while (scopes.Count == 0 && OperandTrace.IsView(reader) && reader.Output.OnlyUser is { } next)
            scopes = ModuleScopes.Of(reader = next);
        var found = matches.Where(m => scopes.Any(s => ModuleScopes.EndsWith(s, ModuleScopes.ModuleOf(m.Name)))).ToList();
        if (found.Count > 1) // a module inside another: the inner one
            found = [.. found.GroupBy(m => ModuleScopes.ModuleOf(m.Name).Length).MaxBy(g => g.Key)!];
        if (found.Count != 1)
            found = [.. (found.Count == 0 ? matches : found).Where(m => ModuleScopes.EndsWith(value.Name, m.Name))];
        return found.Count == 1 ? found[0] : throw new PassException(Name, $"initializer '{value.Name}' where {use.Node} reads it",
            $"one of the equal tensors {Some(matches.Select(m => m.Name))}", scopes.Count == 0 ? "no module scope that tells which" : $"scopes {Some(scopes)}",
            "Export the graph with module scopes (they are on by default), or with weights that differ.");
    }

    private void CheckBothSides(Graph graph, List<string> missing, List<Value> strangers, PassContext context)
    {
        var used = WeightUses.In(graph).ToHashSet();
        // A table of cosines is indexed by positions, and is a constant unless a tensor of the checkpoint is still to be found.
        var extra = strangers.Where(v => used.Contains(v) || (missing.Count > 0 && v.Initializer!.Sizes.Count == 2
            && (WeightUses.IsMatrixOfProduct(v) || WeightUses.IsTable(v)))).ToList();
        if (missing.Count > 0 || extra.Count > 0)
        {
            var found = new List<string>();
            if (missing.Count > 0)
                found.Add($"{missing.Count} tensors of the checkpoint that no initializer equals ({Some(missing)})");
            if (extra.Count > 0)
                found.Add($"{extra.Count} initializers that equal no tensor ({Some(extra.Select(v => $"{v.Name} {v.Initializer}"))})");
            throw new PassException(Name, "the parameters", "each weight of the graph in the checkpoint, and each tensor of the checkpoint in the graph",
                string.Join(" and ", found), GiveCheckpoint);
        }
        foreach (var value in strangers)
            context.Skip($"initializer '{value.Name}'", "it equals no tensor of the checkpoint and is not used as a weight");
    }

    private static Value AddParameter(Graph graph, string name, ElementType type, Shape shape)
    {
        if (graph.TryGetValue(name, out var taken))
            graph.Rename(taken, graph.FreeName(name + Replacement.Suffix));
        return graph.AddInput(new Value(name, type, shape));
    }

    /// <summary>Lets the readers of an initializer read a parameter, through a Transpose where it lies the other way round.</summary>
    private void Replace(Graph graph, Value initializer, ParameterMatch match, List<Use> uses, Value parameter)
    {
        if (parameter.Type != initializer.Type)
        {
            throw new PassException(Name, $"tensor '{match.Name}'", $"one type, {parameter.Type.Name()}, wherever the graph holds it",
                $"{initializer.Type.Name()} '{initializer.Name}'", "Export the graph in one precision.");
        }
        HandOn(initializer, parameter);
        var value = match.Transposed
            ? GraphBuilder.AfterDefinition(graph, parameter, match.Name).Op("transpose", "Transpose", [parameter], Attribute.Of("perm", [1L, 0L]))
            : parameter;
        foreach (var use in uses)
            use.Node.ReplaceInput(use.Index, value);
    }

    private static void HandOn(Value from, Value to)
    {
        foreach (var (key, value) in from.Metadata)
            to.Metadata.TryAdd(key, value);
    }

    private static void Note(PassContext context, string parameter, string initializer, bool transposed) => context.Report("parameters",
        new JsonObject { ["parameter"] = parameter, ["initializer"] = initializer, ["transposed"] = transposed });

    private static string Some(IEnumerable<string> names)
    {
        var list = names.ToList();
        return string.Join(", ", list.Take(10)) + (list.Count > 10 ? $", and {list.Count - 10} more" : "");
    }
}
