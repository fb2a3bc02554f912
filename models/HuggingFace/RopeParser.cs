using System.Text.Json;
using Halo.Models.Json;

namespace Halo.Models.HuggingFace;

/// <summary>Rotary settings of a <c>config.json</c>: <c>rope_parameters</c> of Transformers 5, <c>rope_scaling</c> and fields beside it of 4.</summary>
/// <param name="json">The whole file.</param>
/// <param name="maxPositions">Its max_position_embeddings.</param>
internal sealed class RopeParser(JsonFields json, int maxPositions)
{
    private readonly JsonFields?[] _objects = [json.Object("rope_parameters"), json.Object("rope_scaling")];

    /// <summary>rope_theta, which may stand in three places.</summary>
    public double Theta()
    {
        var theta = Agreeing("rope_theta") ?? 10000;
        return theta > 0 ? theta : throw json.Defect("rope_theta", "a positive number", $"{theta}");
    }

    /// <summary>The share of a head's channels that is rotated.</summary>
    public double Share(bool canBePartial)
    {
        var share = Agreeing("partial_rotary_factor") ?? 1;
        if (share != 1 && !canBePartial)
            throw json.Unsupported("partial_rotary_factor", "1, all channels of a head rotated", $"{share}");
        return share is > 0 and <= 1 ? share : throw json.Defect("partial_rotary_factor", "a share above 0 and up to 1", $"{share}");
    }

    /// <param name="rotaryDim">Channels of a head that are rotated.</param>
    public RopeScaling? Scaling(int rotaryDim)
    {
        var found = _objects.OfType<JsonFields>().Select(rope => Scaling(rope, rotaryDim)).DistinctBy(Described).ToArray();
        return found.Length <= 1 ? found.SingleOrDefault()
            : throw json.Defect("rope_parameters", $"the scaling of 'rope_scaling', {Described(found[1])}", Described(found[0]));
    }

    private static string Described(RopeScaling? scaling) => scaling?.ToString() ?? "none";

    /// <summary>A number that may stand in either object or beside them.</summary>
    private double? Agreeing(string name)
    {
        double[] found = [.. _objects.Append(json).Select(o => o?.Number(name)).OfType<double>().Distinct()];
        return found.Length <= 1 ? (found is [var one] ? one : null)
            : throw json.Defect(name, "one value wherever it stands", string.Join(" and ", found));
    }

    private RopeScaling? Scaling(JsonFields rope, int rotaryDim)
    {
        var (newType, oldType) = (rope.Text("rope_type"), rope.Text("type"));
        var type = newType ?? oldType ?? "default";
        if (oldType is not null && oldType != type) throw rope.Defect("rope_type", $"that of 'type', {oldType}", type);
        foreach (var nested in rope.Properties.Where(p => p.Value.ValueKind == JsonValueKind.Object))
            throw rope.Unsupported(nested.Name, "one rotary embedding for all layers", "another for each kind of layer");
        if (newType is null && oldType is null && rope.Field("factor") is not null)
            throw rope.Defect("rope_type", "a type of the scaling beside its 'factor'", "none");
        return type switch
        {
            "default" => null,
            RopeScaling.Linear or RopeScaling.Dynamic => new RopeScaling(type, Factor(rope), 0, 0, 0),
            RopeScaling.Llama3 => Llama3(rope),
            RopeScaling.LongRope or "su" => LongRope(rope, rotaryDim / 2), // what Phi-3's first configs call it
            RopeScaling.Yarn when rope.Field("short_factor") is not null => LongRope(rope, rotaryDim / 2), // and others of its kind
            RopeScaling.Yarn => Yarn(rope),
            _ => throw rope.Unsupported("rope_type", "default, linear, dynamic, llama3, yarn or longrope", type),
        };
    }

    private static RopeScaling Llama3(JsonFields rope)
    {
        var low = rope.Number("low_freq_factor") ?? throw rope.Defect("low_freq_factor", "a number", "none");
        var high = rope.Number("high_freq_factor") ?? throw rope.Defect("high_freq_factor", "a number", "none");
        if (low <= 0 || high <= low) throw rope.Defect("high_freq_factor", $"a number above low_freq_factor = {low} > 0", $"{high}");
        return new RopeScaling(RopeScaling.Llama3, Factor(rope), low, high, Context(rope, rope));
    }

    private static RopeScaling Yarn(JsonFields rope)
    {
        var factor = Factor(rope);
        var (fast, slow) = (rope.Number("beta_fast") ?? 32, rope.Number("beta_slow") ?? 1);
        if (!(slow > 0 && fast > slow)) throw rope.Defect("beta_fast", $"a number above beta_slow = {slow} > 0", $"{fast}");
        var (some, all) = (rope.Number("mscale") ?? 0, rope.Number("mscale_all_dim") ?? 0);
        var attention = rope.Number("attention_factor") ?? (some != 0 && all != 0 ? Magnitude(factor, some) / Magnitude(factor, all) : Magnitude(factor, 1));
        return new RopeScaling(RopeScaling.Yarn, factor, 0, 0, Context(rope, rope))
        {
            AttentionFactor = Positive(rope, "attention_factor", attention),
            BetaFast = fast,
            BetaSlow = slow,
            IsTruncated = rope.Flag("truncate") ?? true,
        };
    }

    /// <summary>[Peng et al. 2023, 3.4]</summary>
    private static double Magnitude(double factor, double scale) => factor <= 1 ? 1 : (0.1 * scale * Math.Log(factor)) + 1;

    /// <summary>Where config.json names the original context beside the object, the stretch is what max_position_embeddings is of it.</summary>
    private RopeScaling LongRope(JsonFields rope, int pairs)
    {
        var context = Context(rope, json);
        var factor = json.Whole("original_max_position_embeddings") is null && rope.Number("factor") is not null ? Factor(rope)
            : (double)maxPositions / context;
        var attention = rope.Number("attention_factor") ?? (factor <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(factor) / Math.Log(context))));
        return new RopeScaling(RopeScaling.LongRope, Math.Max(1, factor), 0, 0, context)
        {
            AttentionFactor = Positive(rope, "attention_factor", attention),
            ShortFactors = Factors(rope, "short_factor", pairs),
            LongFactors = Factors(rope, "long_factor", pairs),
        };
    }

    private static double[] Factors(JsonFields rope, string name, int pairs)
    {
        var list = rope.Array(name) ?? throw rope.Defect(name, $"a list of {pairs} numbers", "none");
        double[] factors = [.. list.Select(e => e.ValueKind == JsonValueKind.Number && e.TryGetDouble(out var n) && n > 0 && double.IsFinite(n) ? n
            : throw rope.Defect(name, "positive numbers", e.GetRawText()))];
        return factors.Length == pairs ? factors
            : throw rope.Defect(name, $"{pairs} numbers, one for each pair of rotated channels", $"{factors.Length}");
    }

    private static double Factor(JsonFields rope)
    {
        var factor = rope.Number("factor") ?? throw rope.Defect("factor", "a number", "none");
        return factor >= 1 ? factor : throw rope.Defect("factor", "a number from 1", $"{factor}");
    }

    private static double Positive(JsonFields rope, string name, double value) => value > 0 ? value : throw rope.Defect(name, "a positive number", $"{value}");

    /// <summary>original_max_position_embeddings, in the object or beside it.</summary>
    private static int Context(JsonFields rope, JsonFields beside)
    {
        const string Name = "original_max_position_embeddings";
        var (own, outer) = (rope.Whole(Name), beside.Whole(Name));
        if (own is not null && outer is not null && own != outer) throw rope.Defect(Name, "one value wherever it stands", $"{own} and {outer}");
        return (own ?? outer) is > 1 and var context ? context : throw rope.Defect(Name, "a whole number from 2", own is null ? "none" : $"{own}");
    }
}
