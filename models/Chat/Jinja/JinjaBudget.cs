using System.Runtime.CompilerServices;

namespace Halo.Models.Chat.Jinja;

/// <summary>What renderings may cost together, so that no template runs for ever, takes all memory or ends the process.</summary>
/// <remarks>
/// A step is a statement or a part of an expression, some 50 to 200 ns. A unit is what 2 bytes hold: texts count their characters, lists 16 units an item. Reading
/// or writing <see cref="UnitsInStep"/> units is a step as well.
/// </remarks>
/// <param name="turns">Of the conversation. Real templates take some 50 steps a turn, those that have to render every beginning by itself the square of it.</param>
internal sealed class JinjaBudget(int turns)
{
    private const long BaseSteps = 4_000_000, StepsOfTurn = 1000;

    /// <summary>Units that one rendering makes: 256 MiB.</summary>
    private const long MaxUnits = 1L << 27;

    /// <summary>Expressions inside expressions, and lists inside lists.</summary>
    internal const int MaxDepth = 1000, MaxValueDepth = 100;

    private const long UnitsInStep = 64;
    internal const long UnitsOfItem = 16;
    private readonly long _allSteps = BaseSteps + StepsOfTurn * turns;
    private long _steps = BaseSteps + StepsOfTurn * turns, _units = MaxUnits;
    private int _depth;

    internal void Step(int line, long count = 1)
    {
        if ((_steps -= count) < 0) throw TooMuch(line, $"an end within {_allSteps} steps");
    }

    /// <summary>Counts units that a text or list is about to take.</summary>
    internal void Make(int line, long units)
    {
        Read(line, units);
        if (units > _units) throw TooMuch(line, $"at most {MaxUnits} characters in all values together");
        _units -= units;
    }

    /// <summary>Counts units that are looked at.</summary>
    internal void Read(int line, long units) => Step(line, 1 + units / UnitsInStep);

    internal void Enter(int line)
    {
        Step(line);
        if (++_depth > MaxDepth || !RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw JinjaError.At(line, "less nesting of expressions and calls", "more");
    }

    internal void Leave() => _depth--;

    /// <summary>Starts a rendering: what the one before it made is gone.</summary>
    internal void Start() => (_depth, _units) = (0, MaxUnits);

    /// <summary>Goes on at a depth after expressions that were broken off.</summary>
    internal void Return(int depth) => _depth = depth;

    internal int Depth => _depth;

    private static HaloException TooMuch(int line, string expected) => new("chat-template", $"line {line}", expected, "more",
        "Simplify the template: it repeats too much, or the conversation is too long for it.");
}

/// <summary>Where in a template something is computed, and on whose account.</summary>
internal readonly record struct JinjaSite(int Line, JinjaBudget Budget)
{
    internal void Make(long units) => Budget.Make(Line, units);

    internal void Read(long units) => Budget.Read(Line, units);

    internal void MakeItems(long count) => Budget.Make(Line, count * JinjaBudget.UnitsOfItem);

    /// <summary>Counts a value inside another one that is printed or compared, and throws where it lies deeper inside each other than any real one: going on would end the process.</summary>
    internal void Inside(int depth)
    {
        Budget.Step(Line, 4);
        if (depth > JinjaBudget.MaxValueDepth) throw JinjaError.At(Line, $"values of at most {JinjaBudget.MaxValueDepth} levels", "more");
    }
}
