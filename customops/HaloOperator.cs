using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>One operator of the domain: its schema's shape rule and its meaning in ONNX's own operators.</summary>
public abstract class HaloOperator
{
    public abstract string OpType { get; }

    /// <summary>Inputs, outputs and their types, as the native library has them: "Name(X: T, mask?: I) -> Y: T; T: float; I: int64".</summary>
    public abstract string Schema { get; }

    /// <summary>Sets type and shape of the outputs; throws where the inputs contradict the attributes.</summary>
    public abstract void InferShapes(Node node);

    /// <summary>What it is to those who follow tensors through a graph.</summary>
    public virtual OperatorRole Role => OperatorRole.None;

    /// <summary>The kind of recomputation that includes it; null for what is not cheap.</summary>
    public virtual RecomputeKind? Recompute => null;

    /// <summary>What it computes in, if convert-precision may change its types; null where its function is written for those it has.</summary>
    public virtual PrecisionClass? Precision => null;

    /// <summary>Multiplications and additions of its matrix products, those that compute something once more left out; null where sizes are not known.</summary>
    public virtual double? Operations(Node node) => 0;

    /// <summary>The largest magnitudes of how many of its first outputs it can give, as its last outputs, under the attribute absmax.</summary>
    public virtual int Maxima => 0;

    /// <summary>The overload of a node that gives its maxima.</summary>
    internal virtual string OverloadWithMaxima(Node node) => HaloOperators.OverloadOf(node, node.Input(4) is not null);

    /// <summary>Sizes of the first output where batch and sequence are free; null where the operator does not occur there, or mixes them up.</summary>
    public virtual IReadOnlyList<FreeSize>? FreeSizes(FreeOperands x) => null;

    /// <summary>All of this, as the catalogue of a model has it.</summary>
    public OperatorFacts Facts => new(HaloDomain.Name, OpType)
    {
        RequiredInputs = Inputs.Count(name => !name.Contains('?') && !name.Contains("...", StringComparison.Ordinal)),
        RequiredOutputs = 1,
        Shapes = inference => inference.Call(InferShapes),
        FreeSizes = FreeSizes,
        Role = Role,
        Precision = Precision,
        Recompute = Recompute,
        Operations = Operations,
    };

    private string[] Inputs => Schema[(Schema.IndexOf('(') + 1)..Schema.IndexOf(')')].Split(',');

    /// <summary>False for what several machines do together, which no function says.</summary>
    public virtual bool HasBody(Node node) => true;

    /// <summary>The function of the overload that <paramref name="node"/> calls.</summary>
    /// <param name="node">A call, with its overload, attributes and typed inputs.</param>
    public abstract FunctionBody Body(Node node);
}
