using Halo.Models.Bundled;
using Halo.Runner.Export;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Export;

public class InputMomentsTests
{
    private static readonly int[][] Rows = [[0, 17, 300, 41, 5, 900], [0, 1024, 8]];

    /// <summary>One sweep for each input gives what one sweep for all gives; rows add up.</summary>
    [Fact]
    public void Moments_do_not_hang_on_sweeps_and_add_up_over_rows()
    {
        using var source = InferenceSource.Open(LlamaTiny.Folder);
        InputMoments Of(IReadOnlyList<int[]> rows, long bytes = InputMoments.SweepBytes) =>
            new(() => InferenceProjection.Of(source), rows, new SessionSettings { Threads = 1 }, bytes);
        var (together, apart) = (Of(Rows).ByWeight, Of(Rows, bytes: 1).ByWeight);
        var (first, second) = (Of(Rows[..1]).ByWeight, Of(Rows[1..]).ByWeight);
        Assert.Equal(29, together.Count); // 4 layers of 7, and the head
        Assert.Same(together["model.layers.0.self_attn.q_proj.weight"], together["model.layers.0.self_attn.v_proj.weight"]);
        Assert.Equal([704, 704], together["model.layers.3.mlp.down_proj.weight"].Sizes);
        foreach (var name in new[] { "model.layers.0.self_attn.q_proj.weight", "model.layers.3.mlp.down_proj.weight", "lm_head.weight" })
        {
            var moment = together[name].ToArray<float>();
            Assert.Equal(moment, apart[name].ToArray<float>());
            var (a, b) = (first[name].ToArray<float>(), second[name].ToArray<float>());
            var size = (int)together[name].Sizes[0];
            for (var i = 0; i < moment.Length; i++)
            {
                Assert.Equal(moment[i], a[i] + b[i]);
                Assert.Equal(moment[i], moment[(i % size * size) + (i / size)], (float)Tolerances.Moments * (1 + Math.Abs(moment[i])));
            }
            Assert.True(Enumerable.Range(0, size).Sum(i => moment[(i * size) + i]) > 0);
        }
    }
}
