using Halo.Ir;
using Halo.Memory;
using Halo.Operators;

namespace Halo.Tests.Analysis;

/// <summary>Which buffer a value takes.</summary>
public sealed class BuffersTests
{
    /// <summary>Of two freed buffers of the same sizes the one that was freed last, and none of other sizes or width.</summary>
    [Fact]
    public void A_value_takes_the_buffer_of_its_sizes_that_was_freed_last()
    {
        var graph = new Model(new Graph(), OperatorCatalogue.Standard).Graph;
        var x = graph.AddInput(new Value("x", ElementType.Float, Shape.Of(4, 4)));
        var first = Op("first", 4, x, x);
        var second = Op("second", 4, x, x);
        var other = Op("other", 2, x, x);
        var afterFirst = Op("after_first", 1, first);
        var afterSecond = Op("after_second", 1, second);
        var afterOther = Op("after_other", 1, other);
        var taker = Op("taker", 4, afterFirst, afterSecond, afterOther);
        var next = Op("next", 4, afterFirst, afterSecond, taker);
        graph.AddOutput(Op("end", 3, next));
        var buffers = Buffers.Of([.. graph.Nodes], new Plain());
        Assert.Contains(buffers.All, b => Names(b).SequenceEqual(["second", "taker"]));
        Assert.Contains(buffers.All, b => Names(b).SequenceEqual(["first", "next"]));
        Assert.Contains(buffers.All, b => Names(b).SequenceEqual(["other"]));

        Value Op(string name, int columns, params Value[] inputs) =>
            graph.Append(new Node("Op", inputs, [new Value(name, ElementType.Float, Shape.Of(4, columns))], name: name)).Output;

        static IEnumerable<string> Names(Halo.Memory.Buffer buffer) => buffer.Values.Select(v => v.Name);
    }

    /// <summary>Nothing is a view, overwritten, on the host, or needs work memory.</summary>
    private sealed class Plain : IKernelMemory
    {
        public bool IsView(Node node) => false;

        public IReadOnlyList<int> MayOverwrite(Node node, int output) => [];

        public bool IsOnHost(Node node) => false;

        public long WorkBytes(Node node) => 0;
    }
}
