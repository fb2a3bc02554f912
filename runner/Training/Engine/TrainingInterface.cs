using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Training;
using Halo.Runner.Data;
using Halo.Runner.Sessions;

namespace Halo.Runner.Training.Engine;

/// <summary>What a training graph takes and gives, by the names that PyTorch's exported joint graphs use.</summary>
/// <param name="Trained">Parameters with a gradient, in the order of the graph's inputs.</param>
/// <param name="Frozen">Parameters without one.</param>
/// <param name="Rows">B of input_ids (B, T).</param>
/// <param name="Sequence">T of input_ids (B, T).</param>
internal sealed record TrainingInterface(
    IReadOnlyList<(string Name, Shape Shape)> Trained, IReadOnlyList<(string Name, Shape Shape)> Frozen, int Rows, int Sequence)
{
    /// <summary>The inputs that a training graph has besides its parameters.</summary>
    public static IReadOnlyList<BatchInput> Required { get; } =
        [new(TrainingNames.InputIds, BatchRole.TokenIds), new(TrainingNames.AttentionMask, BatchRole.Mask), new(TrainingNames.Labels, BatchRole.Labels)];

    /// <summary>Those that it may have.</summary>
    public static IReadOnlyList<BatchInput> Optional { get; } =
        [new(TrainingNames.PositionIds, BatchRole.Positions), new(TrainingNames.DocumentIds, BatchRole.Documents)];

    /// <summary>The inputs that a batch fills, as the graph has them.</summary>
    public IReadOnlyList<BatchInput> Batch { get; init; } = Required;

    /// <summary>Names of <see cref="Batch"/>.</summary>
    public IEnumerable<string> BatchNames => Batch.Select(b => b.Name);

    /// <summary>What a batch's values may be.</summary>
    public BatchBounds Bounds { get; init; } = new(null, null);

    /// <summary>What is held of frozen weights (<see cref="FrozenBase"/>).</summary>
    public IReadOnlyList<string> Held { get; init; } = [];

    /// <summary>Parameters of which the graph gives the gradient of some rows (<see cref="ChooseRows"/>), and of how many.</summary>
    public IReadOnlyList<(string Parameter, int Count)> Chosen { get; init; } = [];

    /// <summary>The scalars that draw what is dropped; micro-batches are counted.</summary>
    public const string DropoutSeed = "dropout_seed", DropoutStep = "dropout_step";

    /// <summary>The graph takes <see cref="DropoutSeed"/> and <see cref="DropoutStep"/>.</summary>
    public bool Drops { get; init; }

    /// <summary>Parameters of adapters are trained over a frozen base: the parameters that a run keeps are those alone.</summary>
    public bool HasAdapters => Trained.Any(p => AdapterNames.IsTrained(p.Name));

    /// <summary>The parameters that checkpoints hold.</summary>
    public IEnumerable<(string Name, Shape Shape)> Saved => HasAdapters ? Trained : Parameters;

    /// <summary>Of every parameter and gradient.</summary>
    public ElementType ParameterType { get; init; } = ElementType.Float;

    public IEnumerable<(string Name, Shape Shape)> Parameters => Trained.Concat(Frozen);

    /// <summary>Names of <see cref="Trained"/> with the shapes of gradients and moments: a rank's rows where it holds the whole parameter.</summary>
    public IReadOnlyList<(string Name, Shape Shape)> Updated { get => field ?? Trained; init; }

    /// <summary>Parameters of whose sent gradients a rank keeps what rounding leaves, and the shape of that.</summary>
    public IReadOnlyList<(string Name, Shape Shape)> Residuals { get; init; } = [];

    /// <summary>Throws unless a micro-batch is one that the graph takes.</summary>
    /// <exception cref="HaloException">A value is out of bounds, or no label counts.</exception>
    public void Check(MicroBatch batch, string? file = null) => Bounds.Check(batch, Batch, Sequence, file);

    /// <summary>The form of its micro-batches.</summary>
    /// <param name="padId">The id behind a row's end.</param>
    /// <param name="packs">Rows of the graph hold several rows of data.</param>
    public BatchLayout Layout(int padId, bool packs = false) => new(Rows, Sequence, padId, Batch, packs);

    /// <param name="graph">The training graph.</param>
    /// <param name="path">What messages call it.</param>
    /// <param name="device">A GPU takes parameters of 16 bits as well.</param>
    /// <exception cref="HaloException">The graph is no training graph that the runner can drive.</exception>
    public static TrainingInterface Of(Graph graph, string path, GraphDevice device)
    {
        if (!graph.TryGetValue(TrainingNames.Loss, out var loss) || !loss.IsGraphOutput)
            throw Wrong("an output 'loss'", $"outputs {Some(graph.Outputs.Select(o => o.Name))}",
                "A training graph gives loss and gradients; make one of a forward graph with halo gradient.");
        var tokens = graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.InputIds);
        IReadOnlyList<BatchInput> batch = [.. Required, .. Optional.Where(o => graph.Inputs.Any(i => i.Name == o.Name))];
        foreach (var (name, _) in batch)
        {
            var input = graph.Inputs.FirstOrDefault(i => i.Name == name);
            if (input is null || input.Type != ElementType.Int64 || input.Shape is not { Rank: 2, IsStatic: true } || !input.Shape.Equals(tokens!.Shape))
            {
                throw Wrong($"an int64 input '{name}' of fixed sizes (batch, sequence), as all batch inputs have",
                    input is null ? "none" : $"{input.Type.Name()}{input.Shape}", "Export the graph at one batch and sequence length.");
            }
        }
        var trained = new List<(string, Shape)>();
        var frozen = new List<(string, Shape)>();
        var updated = new List<(string, Shape)>();
        var parameters = graph.Inputs.Where(i => batch.All(b => b.Name != i.Name) && i.Initializer is null
            && i.Name is not (DropoutSeed or DropoutStep or TrainingNames.GradientWeight) && !FrozenBase.IsHeld(i) && !ChooseRows.IsRows(i)
            && !TrainingNames.IsResidual(i)).ToList();
        var type = device == GraphDevice.Cuda && parameters.FirstOrDefault()?.Type is ElementType.BFloat16 or ElementType.Float16 ? parameters[0].Type
            : ElementType.Float;
        foreach (var input in parameters)
        {
            if (input.Type != type || input.Shape is not { IsStatic: true } shape)
            {
                throw Wrong($"parameter '{input.Name}' as {(type == ElementType.Float ? "float32" : type.Name())} of fixed sizes",
                    $"{input.Type.Name()}{input.Shape}",
                    input.Type == ElementType.BFloat16 && device == GraphDevice.Cpu
                        ? "The CPU runs no bfloat16 arithmetic; halo gradient --precision fp32 makes the float32 graph of it."
                        : "Export the graph with float32 parameters.");
            }
            var hasGradient = graph.TryGetValue(TrainingNames.GradientOf(input.Name), out var gradient) && gradient.IsGraphOutput;
            (hasGradient ? trained : frozen).Add((input.Name, shape));
            if (hasGradient)
                updated.Add((input.Name, gradient!.Shape ?? shape));
        }
        if (trained.Count == 0)
            throw Wrong("an output 'grad.<parameter>' for some parameter", "none", "The graph trains nothing; export it with gradients.");
        return new TrainingInterface(trained, frozen, (int)tokens!.Shape![0].Size!.Value, (int)tokens.Shape[1].Size!.Value)
        {
            Batch = batch,
            Updated = updated,
            Bounds = BatchBounds.Of(graph),
            ParameterType = type,
            Held = [.. graph.Inputs.Where(FrozenBase.IsHeld).Select(i => i.Name)],
            Chosen = [.. graph.Inputs.Where(ChooseRows.IsRows).Select(i => (i.Name[ChooseRows.Prefix.Length..], (int)i.Shape!.Sizes[0]))],
            Residuals = [.. graph.Inputs.Where(TrainingNames.IsResidual).Select(i => (i.Name[TrainingNames.ResidualPrefix.Length..], i.Shape!))],
            Drops = graph.Inputs.Any(i => i.Name == DropoutSeed),
        };

        HaloException Wrong(string expected, string found, string advice) => new("training-graph", path, expected, found, advice);
    }

    private static string Some(IEnumerable<string> names) => string.Join(", ", names.Take(5)) is { Length: > 0 } text ? text : "none";
}
