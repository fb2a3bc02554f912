using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Json;

namespace Halo.Runner.Training.Config;

/// <summary>One setting, seen through its property.</summary>
internal sealed class ConfigKey
{
    private ConfigKey(PropertyInfo property)
    {
        Property = property;
        Name = NameOf(property.Name);
        Type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        TakesNull = new NullabilityInfoContext().Create(property).WriteState == NullabilityState.Nullable;
        Range = property.GetCustomAttribute<RangeAttribute>();
        Description = property.GetCustomAttribute<DescriptionAttribute>()!.Description;
        Users = property.GetCustomAttribute<UsedByAttribute>()?.Users ?? ConfigUse.None;
    }

    public PropertyInfo Property { get; }

    /// <summary>snake_case.</summary>
    public string Name { get; }

    /// <summary>Without the Nullable around it.</summary>
    public Type Type { get; }

    public bool TakesNull { get; }
    public RangeAttribute? Range { get; }
    public string Description { get; }

    /// <summary>What reads it; none of a rule's keys says.</summary>
    public ConfigUse Users { get; }

    public static IReadOnlyList<ConfigKey> OfTrainConfig { get; } = Of(typeof(TrainConfig));

    public static IReadOnlyList<ConfigKey> OfQuantizeRule { get; } = Of(typeof(QuantizeRule));

    public bool IsUsedBy(ConfigUse user) => (Users & user) != 0;

    /// <summary>Whether a config has the value that it has where nothing is given.</summary>
    public bool IsDefault(TrainConfig config) => Property.GetValue(config) is IReadOnlyCollection<QuantizeRule> rules ? rules.Count == 0
        : Equals(Property.GetValue(config), Property.GetValue(new TrainConfig { Model = "" }));

    /// <summary>What a value has to be, in words.</summary>
    public string Expected
    {
        get
        {
            if (Type.IsEnum) return $"one of {string.Join(", ", Enum.GetNames(Type).Select(NameOf))}";
            if (Type == typeof(bool)) return "true or false";
            var kind = Type == typeof(int) ? "a whole number" : Type == typeof(double) ? "a number" : "text";
            return Range is null ? kind : $"{kind} {Bounds(Range)}";
        }
    }

    /// <summary>Whether a number lies in the range; anything does where there is none.</summary>
    public bool Allows(object? value)
    {
        if (Range is null || value is null) return true;
        double x = Convert.ToDouble(value), low = Convert.ToDouble(Range.Minimum), high = Convert.ToDouble(Range.Maximum);
        return (Range.MinimumIsExclusive ? x > low : x >= low) && (Range.MaximumIsExclusive ? x < high : x <= high);
    }

    public static string NameOf(string property) => JsonNamingPolicy.SnakeCaseLower.ConvertName(property);

    private static ConfigKey[] Of(Type type) => type.GetProperties(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
        .Where(p => p.GetCustomAttribute<DescriptionAttribute>() is not null).Select(p => new ConfigKey(p)).ToArray();

    private static string Bounds(RangeAttribute range)
    {
        var low = range.MinimumIsExclusive ? $"above {range.Minimum}" : $"from {range.Minimum}";
        var open = Convert.ToDouble(range.Maximum) >= int.MaxValue;
        return open ? low + (range.MinimumIsExclusive ? "" : " up") : $"{low} {(range.MaximumIsExclusive ? "to below" : "to")} {range.Maximum}";
    }
}
