using System.Text;
using System.Text.RegularExpressions;

namespace Halo.Models.Tokenizers;

/// <summary>A part of a text as a normalizer left it, and where each of its UTF-16 units comes from.</summary>
/// <param name="Text">What pieces are cut from.</param>
/// <param name="Offset">Where the part begins in the whole.</param>
/// <param name="Starts">Per unit, and one for the end, its place in the whole; null where units stand one after the other from the offset on.</param>
internal readonly record struct MappedText(string Text, int Offset, int[]? Starts = null)
{
    public int StartOf(int at) => Starts is null ? Offset + at : Starts[at];

    /// <summary>Some of it; <see cref="Offset"/> is then where that begins.</summary>
    public MappedText Slice(int start, int length) =>
        new(Text.Substring(start, length), StartOf(start), Starts?[start..(start + length + 1)]);

    /// <summary>With something before it, that comes from nowhere: it stands where the text begins.</summary>
    public MappedText Prepend(string prefix)
    {
        var self = this;
        return Text.Length == 0 ? this
            : new(prefix + Text, Offset, [.. prefix.Select(_ => self.StartOf(0)), .. Enumerable.Range(0, Text.Length + 1).Select(self.StartOf)]);
    }

    /// <summary>Another text for each match; all of its units stand where the match begins.</summary>
    public MappedText Replace(Regex pattern, string content)
    {
        var (text, starts, done) = (new StringBuilder(), new List<int>(), 0);
        for (var match = pattern.Match(Text); match.Success; match = match.NextMatch())
        {
            Keep(this, match.Index);
            text.Append(content);
            starts.AddRange(Enumerable.Repeat(StartOf(match.Index), content.Length));
            done = match.Index + match.Length;
        }
        if (done == 0 && starts.Count == 0)
            return this;
        Keep(this, Text.Length);
        return new MappedText(text.ToString(), Offset, [.. starts, StartOf(Text.Length)]);

        void Keep(MappedText from, int end)
        {
            text.Append(from.Text, done, end - done);
            for (; done < end; done++)
                starts.Add(from.StartOf(done));
        }
    }
}
