using Halo.Analysis;
using Halo.Ir;
using Halo.Operators;

namespace Halo.Tests.Analysis;

/// <summary>Ancestors of many nodes in one pass, beside a walk from each.</summary>
public sealed class AncestorSetsTests
{
    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 64)]
    [InlineData(3, 65)]
    [InlineData(4, 200)]
    public void Are_those_that_a_walk_from_each_value_finds(int seed, int asked)
    {
        var random = new Random(seed);
        var graph = new Model(new Graph(), OperatorCatalogue.Standard).Graph;
        var values = new List<Value> { graph.AddInput(new Value("x", ElementType.Float, Shape.Of(2))) };
        for (var i = 0; i < 300; i++)
            values.Add(graph.Append(new Node("Add", [values[random.Next(values.Count)], values[random.Next(values.Count)]], [new Value($"v{i}")])).Output);
        Node[] wanted = [.. graph.Nodes.OrderBy(_ => random.Next()).Take(asked)];
        var sets = new AncestorSets(graph, wanted);
        foreach (var value in values)
        {
            var walked = Ancestors.Of(value);
            Assert.All(wanted, node => Assert.Equal(walked.Contains(node), sets.Contains(value, node)));
        }
    }

    [Fact]
    public void What_was_not_asked_for_or_is_added_later_is_in_none()
    {
        var graph = new Model(new Graph(), OperatorCatalogue.Standard).Graph;
        var x = graph.AddInput(new Value("x", ElementType.Float, Shape.Of(2)));
        var first = graph.Append(new Node("Neg", [x], [new Value("y")]));
        var second = graph.Append(new Node("Neg", [first.Output], [new Value("z")]));
        var sets = new AncestorSets(graph, [first]);
        var later = graph.Append(new Node("Neg", [second.Output], [new Value("later")]));
        Assert.True(sets.Contains(second.Output, first));
        Assert.False(sets.Contains(second.Output, second));
        Assert.False(sets.Contains(later.Output, first));
        Assert.False(sets.Contains(x, first));
    }
}
