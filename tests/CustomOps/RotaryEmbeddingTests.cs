using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

public class RotaryEmbeddingTests
{
    private const int Tokens = 33, Half = 5;

    private static readonly HostTensor X = HostTensor.Normal(new Random(1), 2, 3, Tokens, 2 * Half);
    private static readonly HostTensor Cos = Table(Math.Cos);
    private static readonly HostTensor Sin = Table(Math.Sin);

    [Theory]
    [InlineData(OperatorKernels.Functions)]
    [InlineData(OperatorKernels.Native)]
    public void The_inverse_undoes_a_rotation(OperatorKernels kernels)
    {
        var y = OpRunner.Run([X, Cos, Sin], (build, inputs) =>
        [
            build.RotaryEmbedding(build.RotaryEmbedding(inputs[0], inputs[1], inputs[2], null, false, "there"), inputs[1], inputs[2], null,
                true, "back"),
        ], kernels: kernels)[0];
        Assert.True(RelativeError.Of(y.Elements, X.Elements) <= Tolerances.RotaryEmbedding);
    }

    [Theory]
    [InlineData(OperatorKernels.Functions)]
    [InlineData(OperatorKernels.Native)]
    public void The_inverse_is_the_gradient(OperatorKernels kernels)
    {
        var dy = HostTensor.Normal(new Random(2), X.Sizes);
        var dx = Rotate(dy, inverse: true, null, kernels).Elements;
        GradientCheck.Along(new Random(3), new ScalarFunction([Array.ConvertAll(X.Elements, v => (double)v)], at =>
        {
            var sum = 0.0;
            for (var i = 0; i < at[0].Length; i++)
            {
                var (d, row) = (i % (2 * Half), i / (2 * Half) % Tokens * Half + i % Half);
                var y = d < Half ? at[0][i] * Cos.Elements[row] - at[0][i + Half] * Sin.Elements[row]
                    : at[0][i] * Cos.Elements[row] + at[0][i - Half] * Sin.Elements[row];
                sum += y * dy.Elements[i];
            }
            return sum;
        }), [Array.ConvertAll(dx, v => (double)v)], Tolerances.OneOperator);
    }

    [Theory]
    [InlineData(OperatorKernels.Functions)]
    [InlineData(OperatorKernels.Native)]
    public void A_position_without_a_row_is_refused(OperatorKernels kernels)
    {
        foreach (var bad in new[] { -1f, Tokens, -Tokens })
        {
            var ids = new HostTensor([2, Tokens], new float[2 * Tokens]);
            ids.Elements[40] = bad;
            Assert.Throws<OnnxRuntimeException>(() => Rotate(X, inverse: false, ids, kernels));
        }
    }

    [Fact]
    public void Shapes_that_do_not_fit_are_refused()
    {
        string Message(params long[][] sizes) => Assert.Throws<HaloException>(() => OpRunner.Run(
            [.. sizes.Select(s => HostTensor.Normal(new Random(1), s))], (build, inputs) =>
            [
                build.RotaryEmbedding(inputs[0], inputs[1], inputs[2],
                    inputs.Count > 3 ? OpCase.Cast(build, inputs[3], ElementType.Int64, "ids") : null, false, "rotate"),
            ])).Message;
        Assert.Contains("even D", Message([1, 1, 3, 5], [3, 2], [3, 2]));
        Assert.Contains("[3, 4]", Message([1, 1, 3, 4], [3, 4], [3, 2]));
        Assert.Contains("sin [4, 2]", Message([1, 1, 3, 4], [3, 2], [4, 2]));
        Assert.Contains("each of 3 tokens", Message([1, 1, 3, 4], [2, 2], [2, 2]));
        Assert.Contains("(B, T)", Message([2, 1, 3, 4], [3, 2], [3, 2], [1, 3]));
    }

    private static HostTensor Rotate(HostTensor x, bool inverse, HostTensor? ids, OperatorKernels kernels) => OpRunner.Run(
        ids is null ? [x, Cos, Sin] : [x, Cos, Sin, ids], (build, inputs) =>
        [
            build.RotaryEmbedding(inputs[0], inputs[1], inputs[2], ids is null ? null : OpCase.Cast(build, inputs[3], ElementType.Int64, "ids"),
                inverse, "rotate"),
        ], kernels: kernels)[0];

    private static HostTensor Table(Func<double, double> function) =>
        new([Tokens, Half], [.. Enumerable.Range(0, Tokens * Half).Select(i => (float)function(i / Half * Math.Pow(10000, -(i % Half) / (double)Half)))]);
}
