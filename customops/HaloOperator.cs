using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>One operator of the domain: its schema's shape rule and its meaning in ONNX's own operators.</summary>
public abstract class HaloOperator
{
    public abstract string OpType { get; }

    /// <summary>Inputs, outputs and their types, as the native library has them: "Name(X: T, mask?: I) -> Y: T; T: float; I: int64".</summary>
    public abstract string Schema { get; }

    /// <summary>Sets type and shape of the outputs; throws where the inputs contradict the attributes.</summary>
    public abstract void InferShapes(Node node);

    /// <summary>The function of the overload that <paramref name="node"/> calls.</summary>
    /// <param name="node">A call, with its overload, attributes and typed inputs.</param>
    public abstract FunctionBody Body(Node node);
}
