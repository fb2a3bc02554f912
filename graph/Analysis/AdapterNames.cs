namespace Halo.Analysis;

/// <summary>What the parameters of adapters are called, as inputs of graphs and in files: PEFT's names, without the adapter's own.</summary>
/// <remarks>A module is named as in the base: <c>model.layers.0.self_attn.q_proj</c>.</remarks>
public static class AdapterNames
{
    /// <summary>What PEFT puts before every name of the model that it wraps.</summary>
    public const string Prefix = "base_model.model.";

    private const string Down = ".lora_A.weight", Up = ".lora_B.weight", Length = ".lora_magnitude_vector.weight", PlacesEnd = ".rosa_places";

    /// <summary>A (rank, in).</summary>
    public static string A(string module) => Prefix + module + Down;

    /// <summary>B (out, rank).</summary>
    public static string B(string module) => Prefix + module + Up;

    /// <summary>m (out): the lengths of the rows of a weight, which DoRA trains by themselves.</summary>
    public static string Magnitude(string module) => Prefix + module + Length;

    /// <summary>The trained elements of a weight, beside the factors (RoSA).</summary>
    public static string Elements(string module) => Prefix + module + ".rosa_elements.weight";

    /// <summary>Where they stand in the weight, read row by row.</summary>
    public static string Places(string module) => Prefix + module + PlacesEnd;

    public static bool IsPlaces(string name) => IsTrained(name) && name.EndsWith(PlacesEnd, StringComparison.Ordinal);

    /// <summary>A parameter of the base that is trained as a whole (<c>modules_to_save</c>).</summary>
    public static string Saved(string parameter) => Prefix + parameter;

    /// <summary>A parameter that is trained while the base is frozen: of an adapter, or a copy of one of the base's.</summary>
    public static bool IsTrained(string parameter) => parameter.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>A factor of a low-rank product, which is no linear layer of the base.</summary>
    public static bool IsFactor(string parameter) => IsTrained(parameter)
        && (parameter.EndsWith(Down, StringComparison.Ordinal) || parameter.EndsWith(Up, StringComparison.Ordinal));

    /// <summary>Of factors: whether it is A, else it is B.</summary>
    public static bool IsDown(string factor) => factor.EndsWith(Down, StringComparison.Ordinal);

    /// <summary>The name of a graph's parameter in <c>adapter_model.safetensors</c>: PEFT writes the vector without <c>.weight</c>.</summary>
    public static string InFile(string parameter) => IsTrained(parameter) && parameter.EndsWith(Length, StringComparison.Ordinal) ? parameter[..^7] : parameter;
}
