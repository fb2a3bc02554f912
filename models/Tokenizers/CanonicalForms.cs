using System.IO.Compression;
using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>Normalization form C: characters taken apart, marks put in order, and what belongs together put together. [Unicode Standard Annex 15]</summary>
/// <remarks>
/// .NET leaves text as it is where it runs without ICU, as Halo does. The table, canonical.z, has the canonical decompositions and combining classes of
/// Unicode 14, as differences in bytes of seven bits; text of later scripts stays as it is.
/// </remarks>
internal static class CanonicalForms
{
    private const int HangulFirst = 0xAC00, LeadFirst = 0x1100, VowelFirst = 0x1161, TailFirst = 0x11A7, Vowels = 21, Tails = 28, Syllables = 11172;

    /// <summary>Below this every text is in form C.</summary>
    private const char FirstMark = '\u0300';

    private static readonly Lazy<(Dictionary<int, (int First, int Second)> Apart, Dictionary<(int, int), int> Together, Dictionary<int, byte> Classes)> Tables =
        new(Read);

    /// <summary>The form; each unit stands where the character begins that it was taken from, the first of those put together.</summary>
    public static MappedText Compose(MappedText x)
    {
        if (x.Text.All(c => c < FirstMark))
            return x;
        var characters = new List<(int Code, int Start)>();
        var at = 0;
        foreach (var rune in x.Text.EnumerateRunes()) // a lone surrogate is U+FFFD, of as many units
        {
            Decompose(rune.Value, x.StartOf(at), characters);
            at += rune.Utf16SequenceLength;
        }
        Order(characters);
        var text = new StringBuilder(x.Text.Length);
        var starts = new List<int>(x.Text.Length);
        foreach (var (code, start) in Joined(characters))
        {
            var rune = new Rune(code);
            text.Append(rune);
            starts.AddRange(Enumerable.Repeat(start, rune.Utf16SequenceLength));
        }
        return new MappedText(text.ToString(), x.Offset, [.. starts, x.StartOf(x.Text.Length)]);
    }

    private static void Decompose(int code, int start, List<(int, int)> into)
    {
        if (code is >= HangulFirst and < HangulFirst + Syllables)
        {
            var n = code - HangulFirst;
            into.Add((LeadFirst + (n / (Vowels * Tails)), start));
            into.Add((VowelFirst + (n % (Vowels * Tails) / Tails), start));
            if (n % Tails > 0) into.Add((TailFirst + (n % Tails), start));
        }
        else if (Tables.Value.Apart.TryGetValue(code, out var parts))
        {
            Decompose(parts.First, start, into);
            if (parts.Second > 0) Decompose(parts.Second, start, into);
        }
        else
        {
            into.Add((code, start));
        }
    }

    /// <summary>Runs of marks by their classes, those of one class as they come.</summary>
    private static void Order(List<(int Code, int Start)> characters)
    {
        for (var from = 0; from < characters.Count; from++)
        {
            var end = from;
            while (end < characters.Count && Class(characters[end].Code) > 0) end++;
            if (end - from > 1)
            {
                var sorted = characters.GetRange(from, end - from).OrderBy(c => Class(c.Code)).ToList(); // stable
                for (var i = 0; i < sorted.Count; i++) characters[from + i] = sorted[i];
            }
            from = Math.Max(from, end - 1);
        }
    }

    private static List<(int Code, int Start)> Joined(List<(int Code, int Start)> characters)
    {
        var result = new List<(int Code, int Start)>(characters.Count);
        var (starter, last) = (-1, 0); // where the last starter is, and the class of what followed it
        foreach (var character in characters)
        {
            var own = Class(character.Code);
            // A mark reaches its starter past marks of lower classes alone; a starter only one right before it.
            var reaches = starter >= 0 && (result.Count - 1 == starter || (last < own && last > 0));
            if (reaches && Pair(result[starter].Code, character.Code) is { } joined)
            {
                result[starter] = (joined, result[starter].Start);
                continue;
            }
            if (own == 0) starter = result.Count;
            last = own;
            result.Add(character);
        }
        return result;
    }

    private static int? Pair(int first, int second)
    {
        if (first is >= LeadFirst and < LeadFirst + 19 && second is >= VowelFirst and < VowelFirst + Vowels)
            return HangulFirst + ((((first - LeadFirst) * Vowels) + second - VowelFirst) * Tails);
        if (first is >= HangulFirst and < HangulFirst + Syllables && (first - HangulFirst) % Tails == 0 && second is > TailFirst and < TailFirst + Tails)
            return first + second - TailFirst;
        return Tables.Value.Together.TryGetValue((first, second), out var joined) ? joined : null;
    }

    private static byte Class(int code) => code >= FirstMark && Tables.Value.Classes.TryGetValue(code, out var found) ? found : (byte)0;

    private static (Dictionary<int, (int, int)>, Dictionary<(int, int), int>, Dictionary<int, byte>) Read()
    {
        using var resource = typeof(CanonicalForms).Assembly.GetManifestResourceStream("canonical.z")!;
        using var reader = new BinaryReader(new ZLibStream(resource, CompressionMode.Decompress));
        var (apart, together, classes) = (new Dictionary<int, (int, int)>(), new Dictionary<(int, int), int>(), new Dictionary<int, byte>());
        var codes = new int[reader.Read7BitEncodedInt()];
        var firsts = new int[codes.Length];
        for (var i = 0; i < codes.Length; i++) codes[i] = (i > 0 ? codes[i - 1] : 0) + reader.Read7BitEncodedInt();
        for (var i = 0; i < codes.Length; i++)
        {
            var zigzag = reader.Read7BitEncodedInt();
            firsts[i] = (i > 0 ? firsts[i - 1] : 0) + ((zigzag >> 1) ^ -(zigzag & 1));
        }
        for (var i = 0; i < codes.Length; i++)
        {
            var second = reader.Read7BitEncodedInt();
            apart.Add(codes[i], (firsts[i], second >> 1));
            if ((second & 1) == 1) together.Add((firsts[i], second >> 1), codes[i]);
        }
        var code = 0;
        for (var runs = reader.Read7BitEncodedInt(); runs > 0; runs--)
        {
            code += reader.Read7BitEncodedInt();
            var (count, combining) = (reader.Read7BitEncodedInt(), (byte)reader.Read7BitEncodedInt());
            for (; count > 0; count--) classes.Add(code++, combining);
        }
        return (apart, together, classes);
    }
}
