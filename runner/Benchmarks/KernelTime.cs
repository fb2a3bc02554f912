using System.Text.Json.Serialization;

namespace Halo.Runner.Benchmarks;

/// <summary>The time of one kernel, and its share of what a copy or a bare product reaches in the same run.</summary>
/// <param name="Kernel">Its name; ceilings begin with <see cref="CeilingPrefix"/>.</param>
/// <param name="Type">Of its elements, or the format of its codes.</param>
/// <param name="Shape">Of its largest operand; of products M x N x K.</param>
/// <param name="Milliseconds">The median, on a GPU; the mean, on the CPU.</param>
/// <param name="GigabytesPerSecond">What it must read and write, once each, over its time; null for products.</param>
/// <param name="OfCopy">The same over the rate of a copy.</param>
/// <param name="TeraflopsPerSecond">Of products.</param>
/// <param name="OfProducts">The same over the rate of bare products of this type.</param>
/// <param name="BodyMilliseconds">The operator's function body on the CPU; null on a GPU.</param>
internal sealed record KernelTime(
    [property: JsonPropertyName("kernel")] string Kernel,
    [property: JsonPropertyName("type")] string Type,
    [property: JsonPropertyName("shape")] string Shape,
    [property: JsonPropertyName("ms")] double Milliseconds,
    [property: JsonPropertyName("gb_per_s")] double? GigabytesPerSecond = null,
    [property: JsonPropertyName("of_copy")] double? OfCopy = null,
    [property: JsonPropertyName("tflop_per_s")] double? TeraflopsPerSecond = null,
    [property: JsonPropertyName("of_products")] double? OfProducts = null,
    [property: JsonPropertyName("body_ms")] double? BodyMilliseconds = null)
{
    public const string CeilingPrefix = "ceiling: ";

    [JsonIgnore]
    public bool IsCeiling => Kernel.StartsWith(CeilingPrefix, StringComparison.Ordinal);
}
