using System.Security.Cryptography;
using System.Text;
using Halo.Ir;

namespace Halo.Analysis;

/// <summary>Texts that are equal for nodes of one operator with the same attributes and inputs: such nodes compute the same, if they are pure.</summary>
internal sealed class NodeKeys
{
    private readonly Dictionary<Value, int> _ids = [];

    /// <param name="node">The node.</param>
    /// <param name="of">The value that stands for all that are equal to one.</param>
    public string Of(Node node, Func<Value, Value>? of = null)
    {
        var key = new StringBuilder($"{node.Domain}.{node.OpType}.{node.Overload}({node.Outputs.Count})");
        foreach (var input in node.Inputs.Select(v => v is null || of is null ? v : of(v)))
            key.Append(' ').Append(input is null ? -1 : _ids.TryGetValue(input, out var id) ? id : _ids[input] = _ids.Count);
        foreach (var attribute in node.Attributes.Values)
        {
            key.Append('\n').Append(attribute.Name).Append(':').Append(attribute.Kind).Append('=')
                .Append(attribute.ReferenceTo is { } reference ? "@" + reference : Text(attribute.Content!));
        }
        return key.ToString();
    }

    /// <summary>SHA-256 of a tensor's content, in hexadecimal; of strings, with their lengths.</summary>
    public static string Hash(Tensor tensor)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        if (tensor.Strings is { } strings)
        {
            foreach (var text in strings)
            {
                hash.AppendData(BitConverter.GetBytes(text.LongLength));
                hash.AppendData(text);
            }
            return Convert.ToHexString(hash.GetHashAndReset());
        }
        tensor.ReadChunks(chunk =>
        {
            hash.AppendData(chunk);
            return true;
        });
        return Convert.ToHexString(hash.GetHashAndReset());
    }

    private static string Text(object content) => content switch
    {
        Tensor tensor => $"{tensor} {Hash(tensor)}",
        float value => BitConverter.SingleToInt32Bits(value).ToString(),
        string text => $"{text.Length}:{text}",
        System.Collections.IEnumerable list => string.Join(",", list.Cast<object>().Select(Text)),
        _ => content.ToString()!,
    };
}
