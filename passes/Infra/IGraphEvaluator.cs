using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>Runs a graph. The runner implements it with ONNX Runtime, which passes do not reference.</summary>
public interface IGraphEvaluator
{
    /// <summary>The graph's outputs, in their order.</summary>
    /// <param name="model">Is not changed.</param>
    /// <param name="inputs">A tensor for every graph input that has no initializer, by name.</param>
    IReadOnlyList<Tensor> Evaluate(Model model, IReadOnlyDictionary<string, Tensor> inputs);
}
