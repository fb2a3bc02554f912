using System.Globalization;
using Halo.CustomOps;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Training;

namespace Halo.Runner.Distributed;

/// <summary>This process's place among those that a launcher started together, as launchers tell it in the environment.</summary>
/// <param name="Rank">From 0, over all machines.</param>
/// <param name="Ranks">How many there are.</param>
/// <param name="LocalRank">From 0, on this machine.</param>
/// <param name="LocalRanks">How many there are on each machine.</param>
internal sealed record Launch(int Rank, int Ranks, int LocalRank, int LocalRanks)
{
    /// <summary>Of each launcher the variables of rank, number of ranks, and the same on the machine; sbatch does not set SLURM_STEP_NUM_TASKS.</summary>
    private static readonly (string Name, string[] Variables)[] Launchers =
    [
        ("mpirun", ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"]),
        ("torchrun", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"]),
        ("srun", ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"]),
    ];

    /// <summary>Where rank 0 is to be met by TCP; null: MPI finds it.</summary>
    public (string Address, int Port)? Store { get; init; }

    /// <summary>The place that the environment tells; null where no launcher started this process, or it is the only one.</summary>
    /// <param name="variable">Gives a variable of the environment; null where it is not set.</param>
    /// <exception cref="HaloException">A variable is missing beside others, or is no number that it may be.</exception>
    public static Launch? Of(Func<string, string?> variable)
    {
        foreach (var (launcher, names) in Launchers)
        {
            if (variable(names[0]) is null || variable(names[1]) is null)
                continue;
            var ranks = Number(names[1], 1, int.MaxValue);
            var launch = new Launch(Number(names[0], 0, ranks - 1), ranks, Number(names[2], 0, ranks - 1), Number(names[3], 1, ranks));
            if (ranks % launch.LocalRanks != 0)
                throw Wrong(launcher, names[3], $"a divisor of {names[1]}, {ranks}", $"{launch.LocalRanks}", "Start as many ranks on each machine.");
            if (launcher == "mpirun" || ranks == 1)
                return ranks == 1 ? null : launch;
            // The launcher's own store listens at MASTER_PORT.
            var address = variable("MASTER_ADDR") ?? throw Wrong(launcher, "MASTER_ADDR", "the machine of rank 0", "none", "Set it and MASTER_PORT.");
            return launch with { Store = (address, Number("MASTER_PORT", 1, ushort.MaxValue - 1) + 1) };

            int Number(string name, int least, int most)
            {
                var text = variable(name)?.Split('(')[0]; // srun: 4(x2), 4 tasks on each of 2 machines
                return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most ? number
                    : throw Wrong(launcher, name, $"a number from {least} to {most}", text ?? "none", "Start all ranks by the launcher.");
            }
        }
        return null;

        static HaloException Wrong(string launcher, string name, string expected, string found, string advice) =>
            new("train", $"{name} of {launcher}", expected, found, advice);
    }

    /// <summary>Meets the other ranks.</summary>
    /// <exception cref="HaloException">They do not come, or what carries their messages is not installed.</exception>
    public World Join(TrainConfig config)
    {
        var carrier = config.Device == GraphDevice.Cuda ? config.RankCarrier : RankCarrier.Host;
        var communicator = Store is { } store ? Communicator.Tcp(store.Address, store.Port, Rank, Ranks, LocalRanks, config.RankTimeout, carrier)
            : Communicator.Mpi(config.RankTimeout, carrier);
        if ((communicator.Rank, communicator.Size) != (Rank, Ranks))
        {
            communicator.Dispose();
            throw new HaloException("train", $"rank {Rank} of {Ranks}", "the same place in the launcher's environment and among the processes that met",
                $"rank {communicator.Rank} of {communicator.Size}", "Start all ranks by one launcher, of the MPI that is installed.");
        }
        return new World(RankGraphs.PlanOf(config, Ranks, Rank, LocalRanks), communicator)
        {
            SharesGpus = config.RankCarrier != RankCarrier.Nccl,
            Timeout = TimeSpan.FromSeconds(config.RankTimeout),
            Records = carrier == RankCarrier.Copies && Environment.GetEnvironmentVariable("HALO_RECORD_RANKS") != "0",
        };
    }
}
