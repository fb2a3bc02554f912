using System.Globalization;
using System.Reflection;
using System.Text;

namespace Halo.Passes.Infra;

/// <summary>One option of a pass: a constructor parameter of its record, with the property of the same name.</summary>
/// <remarks>
/// The type of an option is string, bool, an enum, a number, or any type with <c>static Parse(string, IFormatProvider?)</c> (IOptionText) whose
/// ToString gives back what Parse reads. A parameter without a default must be given.
/// </remarks>
internal sealed record PassOption(string Name, ParameterInfo Parameter, PropertyInfo Property)
{
    private const string Who = "parse-pipeline";

    /// <summary>The default as text; null where there is none.</summary>
    public string? DefaultText => !Parameter.HasDefaultValue ? null
        : Text(Parameter.DefaultValue is { } value && ValueType.IsEnum ? Enum.ToObject(ValueType, value) : Parameter.DefaultValue);

    private Type ValueType => Nullable.GetUnderlyingType(Parameter.ParameterType) ?? Parameter.ParameterType;

    public static IReadOnlyList<PassOption> Of(Type pass) =>
    [
        .. Constructor(pass).GetParameters().Select(p => new PassOption(Kebab(p.Name!), p,
            pass.GetProperty(p.Name!) ?? throw new InvalidOperationException($"{pass.Name} has no property '{p.Name}'"))),
    ];

    public static Type FindPass(string name) => Pipelines.All.FirstOrDefault(t => PassNameAttribute.Of(t) == name)
        ?? throw new HaloException(Who, $"pass '{name}'", "a pass of this program", "no such pass",
            Suggest(name, [.. Pipelines.All.Select(PassNameAttribute.Of)]));

    public static IGraphPass Make(Type pass, string name, IReadOnlyDictionary<string, string> given)
    {
        var options = Of(pass);
        foreach (var unknown in given.Keys.Where(k => options.All(o => o.Name != k)))
        {
            throw new HaloException(Who, $"option '{unknown}' of {name}", "an option of this pass", "no such option",
                Suggest(unknown, [.. options.Select(o => o.Name)]));
        }
        var values = options.Select(o => given.TryGetValue(o.Name, out var text) ? o.Convert(name, text) : o.Default(name)).ToArray();
        return (IGraphPass)Constructor(pass).Invoke(BindingFlags.DoNotWrapExceptions, null, values, CultureInfo.InvariantCulture);
    }

    public string? Read(IGraphPass pass) => Text(Property.GetValue(pass));

    /// <summary><c>RotateOperands</c> as <c>rotate-operands</c>.</summary>
    public static string Kebab(string name)
    {
        var text = new StringBuilder();
        for (var i = 0; i < name.Length; i++)
        {
            if (i > 0 && char.IsAsciiLetterUpper(name[i])
                && (!char.IsAsciiLetterUpper(name[i - 1]) || (i + 1 < name.Length && char.IsAsciiLetterLower(name[i + 1]))))
                text.Append('-');
            text.Append(char.ToLowerInvariant(name[i]));
        }
        return text.ToString();
    }

    private static ConstructorInfo Constructor(Type pass) => pass.GetConstructors().Single();

    private static string? Text(object? value) => value switch
    {
        null => null,
        bool b => b ? "true" : "false",
        Enum e => Kebab(e.ToString()),
        IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString(),
    };

    private object? Default(string pass) => Parameter.HasDefaultValue
        ? Parameter.DefaultValue
        : throw new HaloException(Who, $"pass '{pass}'", $"option '{Name}'", "it missing", $"Write {pass}{{{Name}=...}}.");

    private object Convert(string pass, string text)
    {
        if (ValueType == typeof(string))
            return text;
        if (ValueType == typeof(bool))
            return text switch { "true" => true, "false" => false, _ => throw Wrong(pass, "true or false", text, null) };
        if (ValueType.IsEnum)
        {
            return Enum.GetValues(ValueType).Cast<object>().FirstOrDefault(v => Kebab(v.ToString()!) == text)
                ?? throw Wrong(pass, "one of " + string.Join(", ", Enum.GetNames(ValueType).Select(Kebab)), text, null);
        }
        var parse = ValueType.GetMethod("Parse", [typeof(string), typeof(IFormatProvider)])
            ?? throw new InvalidOperationException($"option type {ValueType.Name} has no Parse(string, IFormatProvider)");
        try
        {
            return parse.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [text, CultureInfo.InvariantCulture], null)!;
        }
        catch (Exception e) when (e is FormatException or OverflowException)
        {
            throw Wrong(pass, $"a value of type {Kebab(ValueType.Name)}", text, e);
        }
    }

    private HaloException Wrong(string pass, string expected, string text, Exception? inner) =>
        new(Who, $"option '{Name}' of {pass}", expected, $"'{text}'", "Correct the value.", inner);

    private static string Suggest(string name, IReadOnlyCollection<string> names) => names.Count == 0 ? "It takes none; leave it out."
        : NearestName.Of(name, names) is { } nearest ? $"Did you mean '{nearest}'?"
        : $"There are: {string.Join(", ", names)}.";
}
