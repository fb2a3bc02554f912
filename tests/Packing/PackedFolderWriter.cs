using System.IO.Compression;
using System.Security.Cryptography;
using Halo.Models.Weights;

namespace Halo.Tests.Packing;

/// <summary>Packs a folder of PyTorch's exports; its model.safetensors is the first file.</summary>
internal sealed class PackedFolderWriter : IDisposable
{
    private const int Sample = 64; // bytes that a copy of a matrix is looked for by

    private readonly BinaryWriter _packed;
    private readonly TorchDraws _draws;
    private readonly List<(byte[] Bytes, Piece Piece, int Place, int Rows, int Columns)> _matrices = [];

    private PackedFolderWriter(string path, uint seed)
    {
        _packed = new BinaryWriter(new BrotliStream(File.Create(path), new BrotliCompressionOptions { Quality = 11 }));
        _draws = new TorchDraws(seed);
        _packed.Write(seed);
    }

    /// <param name="folder">What to pack.</param>
    /// <param name="path">The file to write.</param>
    /// <param name="seed">Of <c>torch.manual_seed</c>.</param>
    /// <param name="offsets">Uniforms drawn before a matrix of the checkpoint, by its name; others are stored.</param>
    public static void Pack(string folder, string path, uint seed, IReadOnlyDictionary<string, int> offsets)
    {
        using var writer = new PackedFolderWriter(path, seed);
        var files = Directory.GetFiles(folder).OrderBy(f => Path.GetFileName(f) != "model.safetensors").ThenBy(f => f, StringComparer.Ordinal).ToList();
        writer._packed.Write(files.Count);
        foreach (var file in files)
        {
            var bytes = File.ReadAllBytes(file);
            writer._packed.Write(Path.GetFileName(file));
            writer.Write(bytes, file.EndsWith(".safetensors", StringComparison.Ordinal) ? writer.Tensors(file, offsets) : writer.Copies(bytes));
            writer._packed.Write(SHA256.HashData(bytes));
        }
    }

    public void Dispose() => _packed.Dispose();

    /// <summary>Pieces at their places, and the bytes between them.</summary>
    private void Write(byte[] bytes, IReadOnlyList<(int Start, int Length, Action Write)> pieces)
    {
        List<Action> all = [];
        var at = 0;
        foreach (var (start, length, write) in pieces.OrderBy(p => p.Start).Append((bytes.Length, 0, all.Clear)))
        {
            var (from, to) = (at, start);
            if (to > from)
                all.Add(() => WriteBytes(bytes.AsSpan(from, to - from)));
            if (length > 0)
                all.Add(write);
            at = start + length;
        }
        _packed.Write(all.Count);
        all.ForEach(write => write());
    }

    private List<(int Start, int Length, Action Write)> Tensors(string file, IReadOnlyDictionary<string, int> offsets)
    {
        using var tensors = SafetensorsFile.Open(file);
        List<(int, int, Action)> pieces = [];
        foreach (var tensor in tensors.Tensors.Values.Where(t => t.DType == Halo.Ir.ElementType.Float))
        {
            var values = tensors.ReadFloats(tensor.Name);
            var start = checked((int)(tensors.DataStart + tensor.Offset));
            var isMatrix = Path.GetFileName(file) == "model.safetensors" && tensor.Shape.Count == 2;
            if (isMatrix)
                Remember(values, start, (int)tensor.Shape[0], (int)tensor.Shape[1]);
            pieces.Add((start, 4 * values.Length, isMatrix && offsets.TryGetValue(tensor.Name, out var offset)
                ? () => WriteDraws(values, offset) : () => WritePlanes(Piece.Floats, Array.ConvertAll(values, PackedFolder.SignLast))));
        }
        return pieces;
    }

    private void Remember(float[] values, int place, int rows, int columns)
    {
        foreach (var piece in new[] { Piece.Same, Piece.SameTransposed, Piece.SameRounded, Piece.SameRoundedTransposed })
            _matrices.Add((PackedFolder.Changed(piece, values, rows, columns), piece, place, rows, columns));
    }

    private List<(int Start, int Length, Action Write)> Copies(byte[] bytes)
    {
        List<(int Start, int Length, Action Write)> pieces = [];
        foreach (var matrix in _matrices)
        {
            for (var at = 0; at < bytes.Length;)
            {
                var next = bytes.AsSpan(at).IndexOf(matrix.Bytes.AsSpan(0, Sample));
                if (next < 0)
                    break;
                at += next;
                if (bytes.AsSpan(at).StartsWith(matrix.Bytes))
                    pieces.Add((at, matrix.Bytes.Length, () => WriteSame(matrix.Piece, matrix.Place, matrix.Rows, matrix.Columns)));
                at++;
            }
        }
        return pieces;
    }

    private void WriteBytes(ReadOnlySpan<byte> bytes)
    {
        _packed.Write((byte)Piece.Bytes);
        _packed.Write(bytes.Length);
        _packed.Write(bytes);
    }

    private void WriteSame(Piece piece, int place, int rows, int columns)
    {
        _packed.Write((byte)piece);
        _packed.Write(place);
        _packed.Write(rows);
        _packed.Write(columns);
    }

    private void WriteDraws(float[] values, int offset)
    {
        var draws = _draws.Normal(offset, values.Length, PackedFolder.Deviation);
        WritePlanes(Piece.Draws, [.. values.Zip(draws, PackedFolder.Off)], offset);
    }

    private void WritePlanes(Piece piece, uint[] words, int? offset = null)
    {
        _packed.Write((byte)piece);
        _packed.Write(words.Length);
        if (offset is { } drawn)
            _packed.Write(drawn);
        for (var plane = 0; plane < 4; plane++)
            _packed.Write(Array.ConvertAll(words, w => (byte)(w >> 8 * plane)));
    }
}
