using Halo.Runner.Sessions;

namespace Halo.Tests.Runner.Gpu;

public class GpuShortageTests
{
    private const long Mebi = 1 << 20;

    [Fact]
    public void Tells_what_was_needed_what_there_is_and_the_rows_that_can_fit()
    {
        // 1000 are held; 8 rows want at least 3000 more where 1500 are left.
        var text = new GpuShortage(Wanted: 2000 * Mebi, InUse: 2000 * Mebi, Free: 500 * Mebi, Total: 2600 * Mebi).Text(held: 1000 * Mebi, rows: 8);
        Assert.Equal("expected about 4,000 MiB of GPU memory, 1,000 MiB of it for parameters, gradients and moments; found 2,500 MiB of 2,600 MiB "
            + "(2,000 MiB were asked for, 500 MiB were free). A batch of 4 rows of the graph's 8 is the most that can fit.", text);
    }

    [Fact]
    public void Goes_by_the_graph_where_the_first_allocation_that_failed_says_little()
    {
        // 1000 are held; the graph wants 4000 at once, 500 a row, and 32 of work; 1500 are left, less the work.
        var shortage = new GpuShortage(Wanted: 100 * Mebi, InUse: 2450 * Mebi, Free: 50 * Mebi, Total: 2600 * Mebi);
        var text = shortage.Text(held: 1000 * Mebi, rows: 8, activations: 4000 * Mebi);
        Assert.StartsWith("expected about 5,032 MiB of GPU memory", text, StringComparison.Ordinal);
        Assert.EndsWith("A batch of 2 rows of the graph's 8 is the most that can fit.", text, StringComparison.Ordinal);
        Assert.Contains("A batch of 7 rows", shortage.Text(held: 1000 * Mebi, rows: 8), StringComparison.Ordinal);
    }

    [Fact]
    public void Says_so_where_not_one_row_fits()
    {
        var text = new GpuShortage(Wanted: 900 * Mebi, InUse: 1000 * Mebi, Free: 10 * Mebi, Total: 1100 * Mebi).Text(held: 1000 * Mebi, rows: 2);
        Assert.EndsWith("Take a graph of fewer rows or a shorter sequence.", text, StringComparison.Ordinal);
        Assert.EndsWith("Take a smaller batch or a shorter sequence.",
            new GpuShortage(Mebi, Mebi, 0, Mebi).Text(held: 0, rows: null), StringComparison.Ordinal);
    }
}
