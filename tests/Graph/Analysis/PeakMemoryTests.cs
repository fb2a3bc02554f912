using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Tests.Analysis;

public class PeakMemoryTests
{
    /// <summary>a, b, c ... of 1000 floats each; the input and the output are somebody else's.</summary>
    [Theory]
    [InlineData("a = Neg(x)\n y = Neg(a)", 1)]
    [InlineData("a = Neg(x)\n b = Neg(a)\n c = Neg(b)\n y = Neg(c)", 2)] // one value and what is made of it
    [InlineData("a = Neg(x)\n b = Neg(a)\n c = Neg(b)\n y = Add(a, c)", 3)] // a waits
    [InlineData("a = Neg(x)\n b = Identity(a)\n c = Neg(x)\n y = Add(b, c)", 2)] // b is a
    [InlineData("a = Neg(x)\n b = Identity(a)\n c = Neg(b)\n d = Neg(c)\n y = Neg(d)", 2)] // and goes when b does
    [InlineData("b = Identity(x)\n y = Neg(b)", 0)]
    public void Values_are_there_until_their_last_reader(string nodes, long values)
    {
        var graph = new Model(new Graph("peak"), HaloOperators.Catalogue).Graph;
        var names = new Dictionary<string, Value> { ["x"] = graph.AddInput(new Value("x", ElementType.Float, Shape.Of(1000))) };
        foreach (var line in nodes.Split('\n'))
        {
            var parts = line.Split([' ', '=', '(', ')', ','], StringSplitOptions.RemoveEmptyEntries);
            names[parts[0]] = new Value(parts[0], ElementType.Float, Shape.Of(1000));
            graph.Append(new Node(parts[1], parts[2..].Select(p => names[p]), [names[parts[0]]], "", parts[0]));
        }
        graph.AddOutput(names["y"]);
        Assert.Equal(4000 * values, PeakMemory.Of(graph));
    }
}
