using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Arithmetic element by element, selection and casts. Inputs may be broadcast.</summary>
internal static class ElementwiseGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["Identity"] = g => g.Add(0, () => g.D),
        ["Cast"] = CastBack,
        ["CastLike"] = CastBack,
        ["Add"] = Sum,
        ["Sum"] = Sum,
        ["Sub"] = g =>
        {
            g.Add(0, () => g.D);
            g.Add(1, () => g.Op("Neg", g.D));
        },
        ["Mul"] = g =>
        {
            g.Add(0, () => g.Op("Mul", g.D, g.In(1)));
            g.Add(1, () => g.Op("Mul", g.D, g.In(0)));
        },
        ["Div"] = g =>
        {
            g.Add(0, () => g.Op("Div", g.D, g.In(1)));
            g.Add(1, () => g.Op("Neg", g.Op("Div", g.Op("Mul", g.D, g.Y), g.In(1))));
        },
        ["Mean"] = g =>
        {
            var share = g.Op("Mul", g.D, g.Scalar(1.0 / g.Node.Inputs.Count, g.D));
            for (var i = 0; i < g.Node.Inputs.Count; i++)
                g.Add(i, () => share);
        },
        ["Neg"] = g => g.Add(0, () => g.Op("Neg", g.D)),
        ["Abs"] = g => g.Add(0, () => g.Op("Mul", g.D, g.Op("Sign", g.In(0)))),
        ["Reciprocal"] = g => g.Add(0, () => g.Op("Neg", g.Op("Mul", g.D, g.Op("Mul", g.Y, g.Y)))),
        ["Sqrt"] = g => g.Add(0, () => g.Op("Div", g.Op("Mul", g.D, g.Scalar(0.5, g.D)), g.Y)),
        ["Exp"] = g => g.Add(0, () => g.Op("Mul", g.D, g.Y)),
        ["Log"] = g => g.Add(0, () => g.Op("Div", g.D, g.In(0))),
        ["Sin"] = g => g.Add(0, () => g.Op("Mul", g.D, g.Op("Cos", g.In(0)))),
        ["Cos"] = g => g.Add(0, () => g.Op("Neg", g.Op("Mul", g.D, g.Op("Sin", g.In(0))))),
        ["Pow"] = Power,
        ["Max"] = Extremum,
        ["Min"] = Extremum,
        ["Clip"] = Clip,
        ["Where"] = g =>
        {
            g.Add(1, () => g.Op("Where", g.In(0), g.D, g.Scalar(0, g.D)));
            g.Add(2, () => g.Op("Where", g.In(0), g.Scalar(0, g.D), g.D));
        },
        ["Dropout"] = g =>
        {
            var trains = g.Node.Input(2) is { } training && (training.Initializer is not { } mode || mode.ToBytes()[0] != 0);
            if (trains)
                throw g.Refused("dropout of a graph for inference", "training_mode", "Export the model in evaluation mode.");
            g.Add(0, () => g.D);
        },
    };

    private static void CastBack(NodeGradient g) => g.Add(0, () => g.Cast(g.D, g.In(0).Type));

    private static void Sum(NodeGradient g)
    {
        for (var i = 0; i < g.Node.Inputs.Count; i++)
            g.Add(i, () => g.D);
    }

    /// <summary>x^p: dx = p x^(p-1), dp = x^p log x. Where x = 0 the latter, and where p = 0 the former, is 0, as in PyTorch.</summary>
    private static void Power(NodeGradient g)
    {
        var (x, p) = (g.In(0), g.In(1));
        if (p.Number() == 2)
        {
            g.Add(0, () => g.Op("Mul", g.D, g.Op("Mul", x, g.Scalar(2, x))));
            return;
        }
        g.Add(0, () =>
        {
            var power = g.Op("Pow", x, g.Op("Sub", p, g.Scalar(1, p)));
            var slope = g.Op("Mul", power, g.Cast(p, x.Type));
            return g.Op("Mul", g.D, g.Op("Where", g.Op("Equal", p, g.Scalar(0, p)), g.Scalar(0, x), slope));
        });
        g.Add(1, () =>
        {
            var slope = g.Op("Mul", g.Y, g.Op("Log", x));
            return g.Cast(g.Op("Mul", g.D, g.Op("Where", g.Op("Equal", x, g.Scalar(0, x)), g.Scalar(0, x), slope)), p.Type);
        });
    }

    /// <summary>Inputs that are equal share the gradient, as in PyTorch.</summary>
    private static void Extremum(NodeGradient g)
    {
        var hits = g.Node.Inputs.Select(x => g.Cast(g.Op("Equal", x!, g.Y), g.Y.Type)).ToArray();
        var share = hits.Length == 1 ? g.D : g.Op("Div", g.D, g.Op("Sum", hits));
        for (var i = 0; i < hits.Length; i++)
        {
            var hit = hits[i];
            g.Add(i, () => g.Op("Mul", share, hit));
        }
    }

    /// <summary>An element at a limit counts as inside, as in PyTorch. Codes are compared as numbers: not every type of them has a kernel.</summary>
    private static void Clip(NodeGradient g)
    {
        var zero = g.Scalar(0, g.D);
        Value Number(Value x) => x.Type.IsFloat() ? x : g.Cast(x, ElementType.Float);
        g.Add(0, () =>
        {
            var d = g.D;
            if (g.Node.Input(1) is { } min)
                d = g.Op("Where", g.Op("Less", Number(g.In(0)), Number(min)), zero, d);
            return g.Node.Input(2) is { } max ? g.Op("Where", g.Op("Greater", Number(g.In(0)), Number(max)), zero, d) : d;
        });
        g.Add(1, () => g.Op("Where", g.Op("Less", g.In(0), g.In(1)), g.D, zero));
        g.Add(2, () => g.Op("Where", g.Op("Greater", g.In(0), g.In(2)), g.D, zero));
    }
}
