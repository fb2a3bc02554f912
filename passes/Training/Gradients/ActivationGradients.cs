using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Activation functions, and the softmax.</summary>
internal static class ActivationGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["Relu"] = g => g.Add(0, () => g.Op("Where", g.Op("Greater", g.In(0), g.Scalar(0, g.D)), g.D, g.Scalar(0, g.D))),
        ["Sigmoid"] = g => g.Add(0, () => g.Op("Mul", g.D, g.Op("Mul", g.Y, g.Op("Sub", g.Scalar(1, g.D), g.Y)))),
        ["Tanh"] = g => g.Add(0, () => g.Op("Mul", g.D, g.Op("Sub", g.Scalar(1, g.D), g.Op("Mul", g.Y, g.Y)))),
        ["Erf"] = g => g.Add(0, () => g.Op("Mul", g.D, g.Op("Mul", g.Scalar(2 / Math.Sqrt(Math.PI), g.D), MinusSquareExp(g, g.In(0), 1)))),
        ["Softplus"] = g => g.Add(0, () => g.Op("Div", g.D, OnePlusExp(g, g.In(0)))),
        ["Swish"] = g => g.Add(0, () => Swish(g, g.Node.Float("alpha", 1))),
        ["Gelu"] = g => g.Add(0, () => g.Node.String("approximate", "none") == "tanh" ? GeluTanh(g) : Gelu(g)),
        ["Softmax"] = g => g.Add(0, () =>
        {
            var sum = g.Sum(g.Op("Mul", g.D, g.Y), [Axis(g)], keepsDims: true);
            return g.Op("Mul", g.Y, g.Op("Sub", g.D, sum));
        }),
        ["LogSoftmax"] = g => g.Add(0, () =>
        {
            var sum = g.Sum(g.D, [Axis(g)], keepsDims: true);
            return g.Op("Sub", g.D, g.Op("Mul", g.Op("Exp", g.Y), sum));
        }),
    };

    /// <summary>x s(ax), s(x) = 1 / (1 + e^-x): the slope is s + a x s (1 - s).</summary>
    public static Value Swish(NodeGradient g, float alpha)
    {
        var x = alpha == 1 ? g.In(0) : g.Op("Mul", g.In(0), g.Scalar(alpha, g.D));
        var s = g.Op("Reciprocal", OnePlusExp(g, x));
        var curve = g.Op("Add", g.Scalar(1, g.D), g.Op("Mul", x, g.Op("Sub", g.Scalar(1, g.D), s)));
        return g.Op("Mul", g.D, g.Op("Mul", s, curve));
    }

    /// <summary>x Phi(x): the slope is Phi(x) + x phi(x), the normal distribution and its density. [Hendrycks and Gimpel 2016]</summary>
    public static Value Gelu(NodeGradient g)
    {
        var (x, half) = (g.In(0), g.Scalar(0.5, g.D));
        var erf = g.Op("Erf", g.Op("Mul", x, g.Scalar(Math.Sqrt(0.5), g.D)));
        var distribution = g.Op("Add", half, g.Op("Mul", half, erf));
        var density = g.Op("Mul", g.Scalar(1 / Math.Sqrt(2 * Math.PI), g.D), MinusSquareExp(g, x, 0.5));
        return g.Op("Mul", g.D, g.Op("Add", distribution, g.Op("Mul", x, density)));
    }

    /// <summary>x (1 + t) / 2, t = tanh(c (x + a x^3)): the slope is (1 + t) / 2 + x (1 - t^2) c (1 + 3 a x^2) / 2. [Hendrycks and Gimpel 2016]</summary>
    private static Value GeluTanh(NodeGradient g)
    {
        const double A = 0.044715;
        var c = Math.Sqrt(2 / Math.PI);
        var (x, one, half) = (g.In(0), g.Scalar(1, g.D), g.Scalar(0.5, g.D));
        var square = g.Op("Mul", x, x);
        var inner = g.Op("Mul", x, g.Op("Add", g.Scalar(c, x), g.Op("Mul", square, g.Scalar(c * A, x))));
        var t = g.Op("Tanh", inner);
        var rise = g.Op("Add", g.Scalar(c, x), g.Op("Mul", square, g.Scalar(3 * c * A, x)));
        var bend = g.Op("Mul", g.Op("Mul", x, g.Op("Sub", one, g.Op("Mul", t, t))), rise);
        return g.Op("Mul", g.D, g.Op("Mul", half, g.Op("Add", g.Op("Add", one, t), bend)));
    }

    /// <summary>e^(-f x^2).</summary>
    private static Value MinusSquareExp(NodeGradient g, Value x, double f) => g.Op("Exp", g.Op("Mul", g.Op("Mul", x, x), g.Scalar(-f, x)));

    /// <summary>1 + e^-x, the reciprocal of the sigmoid; ONNX Runtime's own Sigmoid is 0 from -18 on.</summary>
    private static Value OnePlusExp(NodeGradient g, Value x) => g.Op("Add", g.Op("Exp", g.Op("Neg", x)), g.Scalar(1, x));

    private static int Axis(NodeGradient g)
    {
        var axis = (int)g.Node.Int("axis", -1);
        return axis < 0 ? axis + g.Y.Shape!.Rank : axis;
    }
}
