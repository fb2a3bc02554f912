namespace Halo.Runner.Data.Reading;

/// <summary>Where a row stands, as messages name it.</summary>
/// <param name="Path">The file.</param>
/// <param name="Number">From 1.</param>
/// <param name="Unit">What is counted: a line of text, an item of an array with its line, a row of a table.</param>
internal sealed record RowPlace(string Path, long Number, RowUnit Unit = RowUnit.Line)
{
    /// <summary>The place in its file.</summary>
    public string InFile => $"{Unit.ToString().ToLowerInvariant()} {Number}";

    public override string ToString() => $"{Path}, {InFile}";
}

/// <summary>What rows of a file are counted by.</summary>
internal enum RowUnit { Line, Row }

/// <summary>A row as the file has it: a JSON object, or running text.</summary>
/// <param name="Place">Where it stands.</param>
/// <param name="Bytes">UTF-8, whether it is has to be looked at; valid until the next row.</param>
/// <param name="Part">Of running text: which part of its file.</param>
internal readonly record struct RawRow(RowPlace Place, ReadOnlyMemory<byte> Bytes, TextPart? Part = null)
{
    /// <summary>With bytes of its own.</summary>
    public RawRow Copy() => this with { Bytes = Bytes.ToArray() };
}

/// <summary>Whether a piece of a long text is the first or the last one of its file.</summary>
internal readonly record struct TextPart(bool IsFirst, bool IsLast);
