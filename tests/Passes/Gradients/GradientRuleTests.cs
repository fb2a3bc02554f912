using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Passes.Training.Gradients;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Gradients;

/// <summary>Every rule against central differences along a random direction, in float64 where ONNX Runtime has the kernel.</summary>
public class GradientRuleTests
{
    private const int Seed = 20261125;

    /// <summary>A value of float32 nodes has a few times this; a step that lifts differences above it costs precision of another order.</summary>
    private const double FloatRoundoff = 1.0 / (1 << 21);

    private const double FloatStep = 3e-3;

    private static readonly OnnxEvaluator Evaluator = new();

    internal static readonly Dictionary<string, GradientCase> AllCases =
        new[] { ElementwiseCases.All, ReductionCases.All, ProductCases.All, MovingCases.All, IndexingCases.All, BlockCases.All }
            .SelectMany(c => c).ToDictionary(c => c.ToString());

    public static TheoryData<string> Cases => [.. AllCases.Keys];

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_rule_gives_the_slope(string name)
    {
        var test = AllCases[name];
        var random = new Random(Seed);
        var (model, point) = Forward(test, random);
        var parameters = model.Graph.Inputs.ToList();
        var gradient = Forward(test, new Random(Seed)).Model;
        PassManager.Run(gradient, [new BuildGradient()], new PassOptions());

        var found = Evaluator.Evaluate(gradient, Inputs(parameters, point)).Skip(1).Select(Doubles).ToArray();
        var function = new ScalarFunction(point, x => Doubles(Evaluator.Evaluate(model, Inputs(parameters, x)).Single())[0]);
        var isFloat = test.Type == ElementType.Float;
        double Tolerance(int k, int i) => (isFloat ? Tolerances.OtherOperators : Tolerances.Float64Sums) * Math.Max(1, Math.Abs(found[k][i]));
        if (isFloat)
            GradientCheck.Along(random, function, found, Tolerance, FloatStep, FloatRoundoff);
        else
            GradientCheck.Along(random, function, found, Tolerance);
    }

    [Fact]
    public void Every_rule_has_a_case()
    {
        // Rounding has no slope to compare with: StraightThroughTests.
        var tested = AllCases.Values.Select(c => c.OpType).Concat(["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"]).ToHashSet();
        Assert.Equal(GradientRules.All.Select(r => r.Domain.Length == 0 ? r.OpType : $"{r.Domain}.{r.OpType}").Order(), tested.Order());
    }

    /// <summary>The operator, and a loss that is a random combination of the elements of its outputs, summed in float64.</summary>
    internal static (Model Model, IReadOnlyList<double[]> Point) Forward(GradientCase test, Random random)
    {
        var model = new Model(new Graph("case"), HaloOperators.Catalogue) { Opsets = { [""] = test.Opset, ["com.microsoft"] = 1 } };
        var (graph, build, point) = (model.Graph, GraphBuilder.AtEnd(model.Graph), new List<double[]>());
        var values = new List<Value?>();
        foreach (var (argument, i) in test.Arguments.Select((a, i) => (a, i)))
        {
            if (argument?.IsTrained == true)
                point.Add([.. Enumerable.Range(0, (int)argument.Sizes.Aggregate(1L, (a, b) => a * b)).Select(_ => Next(random, argument.Range, test.Type))]);
            values.Add(argument is null ? null
                : argument.Again is { } position ? values[position]
                : argument.Constant is { } constant ? graph.AddInitializer($"c{i}", constant)
                : argument.Number is { } number ? graph.AddInitializer($"c{i}", Of(test.Type, [], [number]))
                : graph.AddInput(new Value($"x{i}", test.Type, Shape.Of(argument.Sizes))));
        }
        IReadOnlyList<Value> outputs = test.Build is { } make ? [make(build, values)]
            : build.Node("node", test.OpType, [.. values], test.OutputCount, "", test.Attributes).Outputs;
        Value? loss = null;
        foreach (var (output, i) in outputs.Select((o, i) => (o, i)))
        {
            var wide = build.Op($"wide{i}", "Cast", [output], Attribute.Of("to", (long)ElementType.Double));
            var factors = Enumerable.Range(0, (int)output.Shape!.ElementCount!.Value).Select(_ => Next(random, null, ElementType.Double)).ToArray();
            var weighted = build.Op($"weighted{i}", "Mul", [wide, graph.AddInitializer($"factors{i}", Of(ElementType.Double, output.Shape.Sizes, factors))]);
            var sum = build.Op($"sum{i}", "ReduceSum", [weighted], Attribute.Of("keepdims", 0L));
            loss = loss is null ? sum : build.Op($"total{i}", "Add", [loss, sum]);
        }
        graph.AddOutput(build.Op("loss", "Identity", [loss]));
        return (model, point);
    }

    internal static Dictionary<string, Tensor> Inputs(IReadOnlyList<Value> parameters, IReadOnlyList<double[]> point) =>
        parameters.Zip(point).ToDictionary(p => p.First.Name, p => Of(p.First.Type, p.First.Shape!.Sizes, p.Second));

    private static Tensor Of(ElementType type, long[] sizes, double[] elements) => type == ElementType.Double ? Tensor.Of(type, sizes, elements)
        : Tensor.Of(type, sizes, Array.ConvertAll(elements, e => (float)e));

    internal static double[] Doubles(Tensor tensor) => tensor.Type == ElementType.Double ? tensor.ToArray<double>()
        : Array.ConvertAll(tensor.ToArray<float>(), v => (double)v);

    private static double Next(Random random, (double Low, double High)? range, ElementType type)
    {
        var value = range is { } r ? r.Low + ((r.High - r.Low) * random.NextDouble()) : random.NextNormal();
        return type == ElementType.Float ? (float)value : value;
    }
}
