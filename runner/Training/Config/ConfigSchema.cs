using System.Text.Json;
using System.Text.Json.Serialization;
using NJsonSchema;
using NJsonSchema.Generation;

namespace Halo.Runner.Training.Config;

/// <summary>The JSON schema of a <see cref="TrainConfig"/>, for editors that complete and check YAML.</summary>
internal static class ConfigSchema
{
    public static string Write()
    {
        var options = new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower));
        var schema = JsonSchema.FromType<TrainConfig>(new SystemTextJsonSchemaGeneratorSettings { SerializerOptions = options });
        schema.Description = "Settings of halo train.";
        AddBounds(schema, ConfigKey.OfTrainConfig, new TrainConfig { Model = "" });
        foreach (var definition in schema.Definitions.Values) definition.Description = null;
        return schema.ToJson().ReplaceLineEndings("\n") + "\n";
    }

    /// <summary>Defaults and open bounds, which the generator does not take from the properties.</summary>
    private static void AddBounds(JsonSchema schema, IReadOnlyList<ConfigKey> keys, TrainConfig defaults)
    {
        foreach (var key in keys)
        {
            var property = schema.Properties[key.Name];
            if (key.Name != "model" && key.Property.GetValue(defaults) is { } value and not IReadOnlyList<QuantizeRule>)
                property.Default = value is Enum e ? ConfigKey.NameOf(e.ToString()) : value;
            if (key.Range is null) continue;
            decimal? low = Convert.ToDecimal(key.Range.Minimum), high = Convert.ToDouble(key.Range.Maximum) < int.MaxValue
                ? Convert.ToDecimal(key.Range.Maximum) : null;
            (property.Minimum, property.ExclusiveMinimum) = key.Range.MinimumIsExclusive ? ((decimal?)null, low) : (low, null);
            (property.Maximum, property.ExclusiveMaximum) = key.Range.MaximumIsExclusive ? ((decimal?)null, high) : (high, null);
        }
    }
}
