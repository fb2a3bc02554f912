using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Gives a graph the token inputs that batches have: int64, and places of tokens only where rows hold several documents.</summary>
/// <remarks>
/// An int32 input of tokens becomes int64 with a Cast behind it, which no id or mask feels. position_ids (B, T), or cache_position (T), is filled with
/// 0 to T - 1, what Hugging Face Transformers takes where none is given: a row is padded on the right and holds one document. A graph that takes
/// document_ids keeps its positions, which begin anew in each document.
/// </remarks>
/// <param name="KeepPositions">Leave position_ids to whoever runs the graph.</param>
public sealed record AdaptInputs(bool KeepPositions = false) : IGraphPass
{
    private const string CachePosition = "cache_position";

    public string Name => "adapt-inputs";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var rewrites = 0;
        foreach (var input in graph.Inputs.Where(i => i.Initializer is null).ToList())
        {
            var isPosition = input.Name is TrainingNames.PositionIds or CachePosition;
            if (isPosition && !KeepPositions && graph.Inputs.All(i => i.Name != TrainingNames.DocumentIds))
            {
                context.Step($"input '{input.Name}'", "fill it with 0 to T - 1");
                Fill(graph, input);
            }
            else if (input.Type == ElementType.Int32 && (isPosition || TrainingNames.TokenInputs.Contains(input.Name)))
            {
                context.Step($"input '{input.Name}'", "take it as int64");
                Widen(graph, input);
            }
            else
            {
                continue;
            }
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    private static void Widen(Graph graph, Value input)
    {
        input.Type = ElementType.Int64;
        var narrow = GraphBuilder.AfterDefinition(graph, input, input.Name).Op("int32", "Cast", [input], Attribute.Of("to", (long)ElementType.Int32));
        Replace(graph, input, narrow);
    }

    private void Fill(Graph graph, Value input)
    {
        var tokens = graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.InputIds)
            ?? throw new PassException(Name, $"input '{input.Name}'", $"an input '{TrainingNames.InputIds}' beside it", "none",
                "Export the model with input_ids.");
        var rank = input.Shape?.Rank ?? (input.Name == CachePosition ? 1 : 2);
        if (input.Type is not (ElementType.Int64 or ElementType.Int32) || rank is not (1 or 2) || tokens.Shape is { Rank: not 2 })
        {
            throw new PassException(Name, $"input '{input.Name}'", "int64 [batch, sequence] or [sequence], as the places of tokens are", $"{input}",
                "Export the model without it: for training, a LLaMA takes tokens and a mask.");
        }
        var build = GraphBuilder.AfterDefinition(graph, tokens, input.Name);
        Value Ints(string name, params ReadOnlySpan<long> values) => build.Constant(name, Tensor.Int64s(values));
        var sizes = build.Op("sizes", "Shape", [tokens]);
        var length = build.Op("length", "Gather", [sizes, build.Constant("sequence", Tensor.Scalar(1L))]);
        var places = build.Op("places", "Range", [build.Constant("first", Tensor.Scalar(0L)), length, build.Constant("step", Tensor.Scalar(1L))]);
        if (rank == 2)
            places = input.Shape?[0].Size == 1 ? build.Op("row", "Unsqueeze", [places, Ints("batch", 0)]) : build.Op("rows", "Expand", [places, sizes]);
        if (input.Type == ElementType.Int32)
            places = build.Op("int32", "Cast", [places], Attribute.Of("to", (long)ElementType.Int32));
        Replace(graph, input, places);
        graph.RemoveInput(input);
    }

    /// <summary>Lets all others that read the input read what was made of it.</summary>
    private static void Replace(Graph graph, Value input, Value made)
    {
        input.ReplaceUsesWith(made, made.Producer!);
        if (input.IsGraphOutput)
            graph.ReplaceOutput(input, made);
    }
}
