using System.CommandLine;
using System.CommandLine.Parsing;

namespace Halo.Runner.Cli;

/// <summary>An option's value that is one of an enum's names, in lower case.</summary>
internal static class Choice<T> where T : struct, Enum
{
    /// <summary>The names as a message has them: "cpu or cuda".</summary>
    public static string Names { get; } = Listed([.. Enum.GetNames<T>().Select(name => name.ToLowerInvariant())]);

    /// <summary>An option that is one of them; the enum's first where it is left out.</summary>
    public static Option<T> Option(string name, string description, string? helpName = null) =>
        new(name) { Description = description, HelpName = helpName, CustomParser = Read };

    /// <summary>The value of a text, upper case or lower.</summary>
    /// <param name="verb">The verb that the message names.</param>
    /// <param name="option">The option that it names.</param>
    /// <param name="text">A name.</param>
    /// <exception cref="HaloException">No such name.</exception>
    public static T Parse(string verb, string option, string text) =>
        Find(text) ?? throw new HaloException(verb, option, Names, $"'{text}'", "Name one of them.");

    private static T Read(ArgumentResult argument)
    {
        var text = argument.Tokens[0].Value;
        if (Find(text) is { } value)
            return value;
        argument.AddError($"'{text}' for option '{((OptionResult)argument.Parent!).Option.Name}', which takes {Names}");
        return default;
    }

    /// <summary>Names alone: .NET's own parser takes numbers too.</summary>
    private static T? Find(string text)
    {
        var at = Array.FindIndex(Enum.GetNames<T>(), name => name.Equals(text, StringComparison.OrdinalIgnoreCase));
        return at < 0 ? null : Enum.GetValues<T>()[at];
    }

    private static string Listed(string[] names) => names.Length < 2 ? string.Concat(names) : $"{string.Join(", ", names[..^1])} or {names[^1]}";
}
