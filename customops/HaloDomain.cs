namespace Halo.CustomOps;

/// <summary>The operator domain of this project.</summary>
public static class HaloDomain
{
    public const string Name = "com.halo";

    public const long Version = 1;

    /// <summary>Functions with overloads exist from this IR version on.</summary>
    public const long MinIrVersion = 10;

    /// <summary>Bodies need ONNX's operators as of this version: float8 in QuantizeLinear, Cast and Transpose.</summary>
    public const long MinOpset = 21;
}
