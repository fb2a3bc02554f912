using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.CustomOps;

public class CrossEntropyTests
{
    [Theory]
    [InlineData(5)]
    [InlineData(-1)]
    [InlineData(-101)]
    public void A_label_outside_the_vocabulary_is_refused(int label)
    {
        var inputs = new[] { HostTensor.Normal(new Random(1), 2, 5), new HostTensor([2], [4, label]) };
        HostTensor[] Run(OperatorKernels kernels) => OpRunner.Run(inputs, (build, x) =>
            [build.CrossEntropy(x[0], OpCase.Cast(build, x[1], ElementType.Int64, "labels"), "loss").Loss], kernels: kernels);
        var message = Assert.Throws<OnnxRuntimeException>(() => Run(OperatorKernels.Native)).Message;
        Assert.Contains($"com.halo.CrossEntropy: expected labels in [0, 5) or the ignored -100, found {label} in row 1.", message);
        Assert.Contains("GatherElements", Assert.Throws<OnnxRuntimeException>(() => Run(OperatorKernels.Functions)).Message);
    }

    [Fact]
    public void The_gradient_refuses_a_label_outside_the_vocabulary()
    {
        var inputs = new[] { new HostTensor([], [1]), HostTensor.Normal(new Random(1), 2, 5), new HostTensor([2], [4, 5]), new HostTensor([2], [2, 2]) };
        var message = Assert.Throws<OnnxRuntimeException>(() => OpRunner.Run(inputs, (build, x) =>
            [build.CrossEntropyGrad(x[0], x[1], OpCase.Cast(build, x[2], ElementType.Int64, "labels"), x[3], "gradient")],
            kernels: OperatorKernels.Native)).Message;
        Assert.Contains("com.halo.CrossEntropyGrad: expected labels in [0, 5) or the ignored -100, found 5 in row 1.", message);
    }
}
