namespace Halo.Models.Chat.Jinja;

internal abstract record JinjaExpression(int Line);

internal sealed record LiteralExpression(object? Value, int Line) : JinjaExpression(Line);

internal sealed record NameExpression(string Name, int Line) : JinjaExpression(Line);

internal sealed record ListExpression(List<JinjaExpression> Items, int Line) : JinjaExpression(Line);

internal sealed record MapExpression(List<(JinjaExpression Key, JinjaExpression Value)> Items, int Line) : JinjaExpression(Line);

internal sealed record UnaryExpression(string Operator, JinjaExpression Operand, int Line) : JinjaExpression(Line);

internal sealed record BinaryExpression(string Operator, JinjaExpression Left, JinjaExpression Right, int Line) : JinjaExpression(Line);

/// <summary><c>a if condition else b</c>; no else is undefined.</summary>
internal sealed record ChoiceExpression(JinjaExpression Condition, JinjaExpression Then, JinjaExpression? Else, int Line) : JinjaExpression(Line);

/// <summary><c>target.name</c>, where methods go before keys, or <c>target[key]</c>, where keys go before methods.</summary>
internal sealed record ItemExpression(JinjaExpression Target, JinjaExpression Key, bool IsAttribute, int Line) : JinjaExpression(Line);

internal sealed record SliceExpression(JinjaExpression Target, JinjaExpression? Start, JinjaExpression? Stop, JinjaExpression? Step, int Line)
    : JinjaExpression(Line);

internal sealed record CallExpression(JinjaExpression Target, JinjaArguments Arguments, int Line) : JinjaExpression(Line);

internal sealed record FilterExpression(string Name, JinjaExpression Operand, JinjaArguments Arguments, int Line) : JinjaExpression(Line);

internal sealed record TestExpression(string Name, JinjaExpression Operand, JinjaArguments Arguments, int Line) : JinjaExpression(Line);

internal sealed record JinjaArguments(List<JinjaExpression> Positional, List<(string Name, JinjaExpression Value)> Named)
{
    internal static readonly JinjaArguments None = new([], []);
}

internal abstract record JinjaStatement(int Line);

internal sealed record TextStatement(string Text, int Line) : JinjaStatement(Line);

internal sealed record PrintStatement(JinjaExpression Value, int Line) : JinjaStatement(Line);

internal sealed record IfStatement(List<(JinjaExpression? Condition, List<JinjaStatement> Body)> Branches, int Line) : JinjaStatement(Line);

internal sealed record ForStatement(List<string> Names, JinjaExpression Items, JinjaExpression? Filter, List<JinjaStatement> Body,
    List<JinjaStatement> Else, int Line)
    : JinjaStatement(Line);

/// <summary><c>set name = value</c>, <c>set namespace.attribute = value</c>, or a block whose text is the value.</summary>
internal sealed record SetStatement(string Name, string? Attribute, JinjaExpression? Value, List<JinjaStatement>? Body, int Line) : JinjaStatement(Line);

internal sealed record MacroStatement(string Name, List<(string Name, JinjaExpression? Default)> Parameters, List<JinjaStatement> Body, int Line)
    : JinjaStatement(Line);

/// <summary><c>filter name | other</c>: the block's text, which <paramref name="Value"/> reads by the name <see cref="Text"/>.</summary>
internal sealed record FilterStatement(JinjaExpression Value, List<JinjaStatement> Body, int Line) : JinjaStatement(Line)
{
    /// <summary>No name of a template has a space.</summary>
    internal const string Text = "filter block";
}

/// <summary>A generation block: statements that are run as they stand, whose text the assistant says.</summary>
internal sealed record BlockStatement(List<JinjaStatement> Body, int Line) : JinjaStatement(Line);

/// <summary><c>break</c> or <c>continue</c>.</summary>
internal sealed record JumpStatement(bool IsBreak, int Line) : JinjaStatement(Line);
