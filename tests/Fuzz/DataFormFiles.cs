using System.IO.Compression;
using Halo.Runner.Data;
using Halo.Runner.Data.Reading;
using Parquet;
using Parquet.Schema;
using Parquet.Serialization;
using ZstdSharp;

namespace Halo.Tests.Fuzz;

/// <summary>Small data files of each form and container.</summary>
internal static class DataFormFiles
{
    /// <summary>A row of each form.</summary>
    internal static IReadOnlyList<string> Rows { get; } =
    [
        """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": [{"name": "f"}]}""",
        """{"conversations": [{"from": "human", "value": "a\u00e9"}, {"from": "gpt", "value": "b"}], "system": "s", "tools": "[]"}""",
        """{"instruction": "a", "input": "i", "output": "b"}""",
        """{"prompt": "a", "completion": "b"}""",
        """{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}""",
        """{"text": "a \"b\" \\ c"}""",
    ];

    internal static byte[] Gzip(string text)
    {
        using var stream = new MemoryStream();
        using (var gzip = new GZipStream(stream, CompressionLevel.Optimal))
            gzip.Write(System.Text.Encoding.UTF8.GetBytes(text));
        return stream.ToArray();
    }

    internal static byte[] Zstd(string text)
    {
        using var compressor = new Compressor(3);
        return compressor.Wrap(System.Text.Encoding.UTF8.GetBytes(text)).ToArray();
    }

    internal static byte[] Parquet(CompressionMethod compression)
    {
        var schema = new ParquetSchema(new DataField<int?>("id"), new ListField("messages", new StructField("element",
            new DataField<string>("role"), new DataField<string>("content"))));
        var rows = Enumerable.Range(0, 5).Select(i => (IDictionary<string, object?>)new Dictionary<string, object?>
        {
            ["id"] = i,
            ["messages"] = new List<Dictionary<string, object?>> { new() { ["role"] = "user", ["content"] = $"q{i}" }, new() { ["role"] = "assistant", ["content"] = "a" } },
        }).ToList();
        using var stream = new MemoryStream();
        ParquetSerializer.SerializeUntypedAsync(rows, schema, stream, new ParquetOptions { CompressionMethod = compression, RowGroupSize = 3 }).GetAwaiter().GetResult();
        return stream.ToArray();
    }

    internal static byte[] Tokens()
    {
        using var stream = new MemoryStream();
        TokenFile.Write(stream, target =>
        {
            for (var i = 1; i < 5; i++)
                target.Add(new TokenizedRow([1, i, 3], [0, 0, 1]), 0, new RowPlace("a", i), isText: false);
            return new TokenNotes("text", ["a note"]);
        });
        return stream.ToArray();
    }
}
