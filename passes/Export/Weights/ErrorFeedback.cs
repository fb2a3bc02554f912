using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Export.Weights;

/// <summary>Codes weights by <see cref="FeedbackRows"/>, each with the second moment of its layer's inputs.</summary>
/// <remarks>The factor of the last moment is kept for the layers that share it and are written one after the other: K^2 float32 of one layer.</remarks>
/// <param name="pass">For messages.</param>
/// <param name="moments">By the name of the weight.</param>
internal sealed class ErrorFeedback(string pass, IReadOnlyDictionary<string, Tensor> moments)
{
    private readonly Lock _lock = new();
    private (Tensor Moment, FeedbackFactor Factor)? _last;

    /// <exception cref="PassException">There is no moment for the weight, or one of another size.</exception>
    public Func<RowCoding> Of(Value weight, CodeGrid grid)
    {
        var (name, k) = (weight.Name, weight.Initializer!.Sizes[1]);
        if (!moments.TryGetValue(name, out var moment))
            throw new PassException(pass, $"'{name}'", "the second moment of the layer's inputs", "none", "Calibrate the graph right before this pass.");
        if (moment.Type != ElementType.Float || !moment.Sizes.SequenceEqual([k, k]))
        {
            throw new PassException(pass, $"'{name}'", $"a second moment of {ElementType.Float.Name()}[{k}, {k}]", $"{moment}",
                "Calibrate the graph right before this pass.");
        }
        return () => new RowCoding(FeedbackRows.Slice, new FeedbackRows(grid, FactorOf(name, moment)).Code);
    }

    private FeedbackFactor FactorOf(string name, Tensor moment)
    {
        lock (_lock)
        {
            if (_last?.Moment != moment)
            {
                _last = null;
                _last = (moment, FeedbackFactor.Of(pass, name, moment));
            }
            return _last.Value.Factor;
        }
    }
}
