using System.Text.Json.Nodes;
using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;

namespace Halo.Passes.Export;

/// <summary>Makes initializers of the parameters of a forward graph, with the values that the checkpoint has under their names.</summary>
/// <remarks>
/// A parameter is a graph input of a float type and known sizes; caches, whose lengths are free, are none,
/// nor are those of an adapter, which stays beside the model. Values are read, and rounded to nearest even
/// into the type, when the graph is written or run. A value that float16 cannot hold is an error then.
/// </remarks>
/// <param name="Type">The type of the initializers, cast in the graph where it is another than the graph's; by default the graph's.</param>
public sealed record HoldParameters(FloatPrecision? Type = null) : IGraphPass
{
    private const int NamesShown = 10;

    /// <summary>What bfloat16 keeps of logits, with room.</summary>
    private const double FloorDb = 25;

    public string Name => "hold-parameters";

    public ValueEffect Effect => Type is null or FloatPrecision.Fp32 ? new ValueEffect.Exact() : new ValueEffect.Quantizing(FloorDb);

    public void Requires(Model model)
    {
        if (model.Graph.Outputs.FirstOrDefault(TrainingNames.IsGradient) is { } gradient)
        {
            throw new PassException(Name, $"output '{gradient.Name}'", "a forward graph", "one with gradients",
                "Hold the parameters of the forward graph; those that are trained stay inputs.");
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var parameters = graph.Inputs.Where(IsParameter).ToList();
        if (parameters.Count == 0)
            return new PassResult(0);
        var checkpoint = context.Checkpoint ?? throw new PassException(Name, "the checkpoint", $"one with the values of {Listed(parameters)}", "none",
            "Give the weights of the model.");
        Check(parameters, checkpoint);
        foreach (var parameter in parameters)
            Hold(graph, parameter, checkpoint[parameter.Name], context);
        foreach (var name in checkpoint.Keys.Where(n => !graph.Values.ContainsKey(n)))
            context.Skip($"tensor '{name}'", "no parameter of the graph has this name");
        return new PassResult(parameters.Count);
    }

    private static bool IsParameter(Value input) => input.Initializer is null && input.Type.IsFloat() && input.Shape is { ElementCount: not null }
        && !AdapterNames.IsTrained(input.Name);

    private void Check(List<Value> parameters, IReadOnlyDictionary<string, Tensor> checkpoint)
    {
        var missing = parameters.Where(p => !checkpoint.ContainsKey(p.Name)).ToList();
        if (missing.Count > 0)
        {
            throw new PassException(Name, "the parameters", "each of them in the checkpoint", $"none of the names {Listed(missing)}",
                "Give the checkpoint that belongs to the graph.");
        }
        foreach (var parameter in parameters)
        {
            var tensor = checkpoint[parameter.Name];
            if (!tensor.Type.IsFloat())
            {
                throw new PassException(Name, $"tensor '{parameter.Name}'", "floating point values", tensor.Type.Name(),
                    "Start from the checkpoint before it was quantized.");
            }
            if (!tensor.Shape.Equals(parameter.Shape))
            {
                throw new PassException(Name, $"tensor '{parameter.Name}'", $"the sizes of the parameter, {parameter.Shape}", $"{tensor.Shape}",
                    "Give the checkpoint that belongs to the graph.");
            }
            if (parameter.IsGraphOutput)
                throw new PassException(Name, $"parameter '{parameter.Name}'", "an input that only nodes read", "a graph output", "Drop the output.");
        }
    }

    private void Hold(Graph graph, Value parameter, Tensor tensor, PassContext context)
    {
        var (name, type) = (parameter.Name, Type?.Type() ?? parameter.Type);
        graph.Rename(parameter, graph.FreeName(name + Replacement.Suffix));
        var held = graph.AddInitializer(name, CastBytes.Cast(Name, name, tensor, type));
        foreach (var (key, value) in parameter.Metadata)
            held.Metadata.TryAdd(key, value);
        var read = type == parameter.Type ? held
            : GraphBuilder.AfterDefinition(graph, held, name).Op(parameter.Type.Name(), "Cast", [held], Ir.Attribute.Of("to", (long)parameter.Type));
        parameter.ReplaceUsesWith(read);
        graph.RemoveInput(parameter);
        context.Report("parameters", new JsonObject { ["parameter"] = name, ["from"] = tensor.Type.Name(), ["held"] = type.Name() });
    }

    private static string Listed(List<Value> values) =>
        string.Join(", ", values.Take(NamesShown).Select(v => v.Name)) + (values.Count > NamesShown ? $" and {values.Count - NamesShown} more" : "");
}
