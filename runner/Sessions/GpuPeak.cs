namespace Halo.Runner.Sessions;

/// <summary>What the matrix units of a GPU reach by its vendor's datasheet, dense, in 10^12 operations a second.</summary>
/// <param name="Bf16">Of bfloat16, summed in float32.</param>
/// <param name="Fp8">Of 8-bit floats, summed in float32; 8-bit integers come to the same.</param>
internal sealed record GpuPeak(double Bf16, double Fp8)
{
    /// <summary>By part of the name that the driver gives; the first that is found counts.</summary>
    private static readonly (string Name, GpuPeak Peak)[] Known =
    [
        ("H100 PCIe", new(756, 1513)), ("H100 NVL", new(835, 1671)), ("H200 NVL", new(835, 1671)),
        ("H100", new(989, 1979)), ("H200", new(989, 1979)), ("H800", new(989, 1979)), ("H20", new(148, 296)), // GH200 is an H200 by this
        ("B200", new(2250, 4500)), ("L40S", new(362, 733)), ("L40", new(181, 362)), ("L4", new(121, 242)), ("RTX 4090", new(165, 330)),
    ];

    /// <summary>Null for a GPU that is not listed.</summary>
    public static GpuPeak? Of(string name) => Known.FirstOrDefault(known => name.Contains(known.Name, StringComparison.Ordinal)).Peak;

    /// <summary>Of so many of them.</summary>
    public GpuPeak Times(int count) => new(Bf16 * count, Fp8 * count);
}
