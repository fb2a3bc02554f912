using Halo.Runner.Distributed;

namespace Halo.Tests.Runner.Distributed;

public class LaunchTests
{
    [Theory]
    [InlineData("OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=4", 5, 8, 1, 4)]
    [InlineData("RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=here MASTER_PORT=29500", 1, 2, 1, 2, 29501)]
    [InlineData("SLURM_PROCID=6 SLURM_STEP_NUM_TASKS=8 SLURM_LOCALID=2 SLURM_STEP_TASKS_PER_NODE=4(x2) MASTER_ADDR=here MASTER_PORT=7", 6, 8, 2, 4, 8)]
    public void Launchers_tell_the_place(string environment, int rank, int ranks, int localRank, int localRanks, int? port = null) =>
        Assert.Equal(new Launch(rank, ranks, localRank, localRanks) { Store = port is { } number ? ("here", number) : null }, Of(environment));

    [Theory]
    [InlineData("")]
    [InlineData("SLURM_PROCID=0 SLURM_NTASKS=8 SLURM_LOCALID=0")] // a script of sbatch, not a step of srun
    [InlineData("RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1")]
    public void A_process_that_is_alone_has_none(string environment) => Assert.Null(Of(environment));

    [Theory]
    [InlineData("RANK=2 WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2", "RANK of torchrun: expected a number from 0 to 1, found 2")]
    [InlineData("RANK=0 WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2", "MASTER_ADDR of torchrun: expected the machine of rank 0, found none")]
    [InlineData("RANK=0 WORLD_SIZE=2", "LOCAL_RANK of torchrun: expected a number from 0 to 1, found none")]
    [InlineData("RANK=0 WORLD_SIZE=3 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2", "LOCAL_WORLD_SIZE of torchrun: expected a divisor of WORLD_SIZE, 3, found 2")]
    public void What_contradicts_itself_is_refused(string environment, string message) =>
        Assert.Contains(message, Assert.Throws<HaloException>(() => Of(environment)).Message, StringComparison.Ordinal);

    private static Launch? Of(string environment)
    {
        var variables = environment.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(v => v.Split('=')).ToDictionary(v => v[0], v => v[1]);
        return Launch.Of(name => variables.GetValueOrDefault(name));
    }
}
