using System.Text.RegularExpressions;
using Halo.Models.Json;

namespace Halo.Models.Tokenizers;

/// <summary>Before which parts of a text Metaspace puts its mark.</summary>
internal enum PrependScheme { Always, First, Never }

/// <summary>Metaspace, of tokenizers that came from SentencePiece: a mark for each space, and one before a text.</summary>
/// <remarks>[Hugging Face tokenizers, metaspace.rs]</remarks>
/// <param name="Mark">U+2581.</param>
/// <param name="Scheme">Where it is put before.</param>
internal sealed record Metaspace(string Mark, PrependScheme Scheme)
{
    private static readonly Regex Space = new(" ", RegexOptions.CultureInvariant);

    public MappedText Apply(MappedText text)
    {
        var marked = text.Replace(Space, Mark);
        return Scheme == PrependScheme.Never || (Scheme == PrependScheme.First && text.StartOf(0) != 0)
            || marked.Text.StartsWith(Mark, StringComparison.Ordinal) ? marked : marked.Prepend(Mark);
    }
}

/// <summary>The fields of a <c>Metaspace</c>.</summary>
internal static class MetaspaceJson
{
    internal const string Mark = "\u2581";

    internal static Metaspace Read(JsonFields step) => new(step.Text("replacement") ?? Mark, Scheme(step));

    internal static PrependScheme Scheme(JsonFields step) => step.Text("prepend_scheme") switch
    {
        "always" => PrependScheme.Always,
        "first" => PrependScheme.First,
        "never" => PrependScheme.Never,
        null => step.Flag("add_prefix_space") ?? true ? PrependScheme.Always : PrependScheme.Never,
        var other => throw step.Unsupported("prepend_scheme", "always, first or never", other),
    };
}
