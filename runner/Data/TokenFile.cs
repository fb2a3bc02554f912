using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text.Json;
using Halo.Io;
using Halo.Runner.Data.Reading;
using Microsoft.Win32.SafeHandles;

namespace Halo.Runner.Data;

/// <summary>What is known of rows besides their tokens.</summary>
/// <param name="Forms">The forms of the files, for the log.</param>
/// <param name="Notes">What a reader should know, a sentence each.</param>
internal sealed record TokenNotes(string Forms, IReadOnlyList<string> Notes);

/// <summary>Takes rows in order.</summary>
internal interface ITokenRowsTarget
{
    void Add(TokenizedRow row, int file, RowPlace place, bool isText);
}

/// <summary>Rows in a file: each is read when it is asked for, so that memory holds 40 bytes of a row.</summary>
/// <remarks>
/// Row by row its ids, int32, and its mask, a byte for eight tokens; then 40 bytes a row; then forms and notes as JSON; then 48 bytes: where the two begin, the
/// number of rows, the version, an XXH3 of all before it, and a mark. It is written from front to end, so one that was cut has no mark.
/// </remarks>
internal sealed class TokenFile : ITokenRows
{
    /// <summary>Of the layout; another one is another file.</summary>
    internal const int Version = 1;

    private const ulong Mark = 0x534E454B4F544C48; // "HLTOKENS"

    [StructLayout(LayoutKind.Sequential)]
    private struct Entry
    {
        public long Offset, Number;
        public int Length, FirstCounted, Counted, File;
        public int Unit, IsText;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Tail
    {
        public long Entries, Notes, Rows, Version;
        public ulong Hash, Mark;
    }

    private readonly SafeFileHandle _file;
    private readonly Entry[] _entries;

    private TokenFile(SafeFileHandle file, Entry[] entries) => (_file, _entries) = (file, entries);

    public int Count => _entries.Length;

    public TokenRowInfo Info(int row)
    {
        ref readonly var entry = ref _entries[row];
        return new TokenRowInfo(entry.Length, entry.FirstCounted, entry.File, entry.Number, (RowUnit)entry.Unit, entry.IsText != 0);
    }

    public TokenizedRow Read(int row, int start, int length)
    {
        ref readonly var entry = ref _entries[row];
        var ids = new int[length];
        Fill(_file, MemoryMarshal.AsBytes(ids.AsSpan()), entry.Offset + 4L * start);
        return new TokenizedRow(ids, Mask(entry, start, length));
    }

    public int Counted(int row, int start, int length)
    {
        ref readonly var entry = ref _entries[row];
        return start == 0 && length == entry.Length ? entry.Counted : length - 1 - Mask(entry, start, length).AsSpan(1).Count((byte)0);
    }

    private byte[] Mask(in Entry entry, int start, int length)
    {
        var first = start / 8;
        var bits = new byte[(start + length + 7) / 8 - first];
        Fill(_file, bits, entry.Offset + 4L * entry.Length + first);
        var mask = new byte[length];
        for (var i = 0; i < length; i++)
            mask[i] = (byte)((bits[(start + i) / 8 - first] >> ((start + i) & 7)) & 1);
        return mask;
    }

    /// <summary>Writes what <paramref name="encode"/> adds.</summary>
    internal static void Write(Stream stream, Func<ITokenRowsTarget, TokenNotes> encode)
    {
        var writer = new Writer(stream);
        var notes = encode(writer);
        writer.End(notes);
    }

    /// <summary>Opens a file whose content is looked through once.</summary>
    /// <exception cref="HaloException">It is cut, changed, or of another version.</exception>
    internal static (ITokenRows Rows, TokenNotes Notes) Open(string path)
    {
        FilePlace.RequireRegular(path);
        var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
        try
        {
            return Open(file, path);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static unsafe (ITokenRows, TokenNotes) Open(SafeFileHandle file, string path)
    {
        var size = RandomAccess.GetLength(file);
        var tail = new Tail();
        if (size < sizeof(Tail))
            throw Damaged(path, "no end");
        var body = size - sizeof(Tail);
        Fill(file, MemoryMarshal.AsBytes(new Span<Tail>(ref tail)), body);
        if (tail.Mark != Mark || tail.Version != Version)
            throw Damaged(path, "no end, or another version");
        var hash = new XxHash3();
        var buffer = new byte[1 << 20];
        for (long at = 0; at < size - 16; at += buffer.Length) // up to the digest
        {
            var part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, size - 16 - at));
            Fill(file, part, at);
            hash.Append(part);
        }
        if (hash.GetCurrentHashAsUInt64() != tail.Hash || tail.Rows > int.MaxValue || tail.Notes - tail.Entries != tail.Rows * sizeof(Entry))
            throw Damaged(path, "other content than was written");
        var entries = new Entry[tail.Rows];
        for (var done = 0; done < entries.Length; done += 1 << 16)
            Fill(file, MemoryMarshal.AsBytes(entries.AsSpan(done, Math.Min(1 << 16, entries.Length - done))), tail.Entries + (long)done * sizeof(Entry));
        var notes = new byte[body - tail.Notes];
        Fill(file, notes, tail.Notes);
        return (new TokenFile(file, entries), JsonSerializer.Deserialize<TokenNotes>(notes)!);
    }

    private static void Fill(SafeFileHandle file, Span<byte> bytes, long offset)
    {
        for (int done = 0, read; done < bytes.Length; done += read)
        {
            if ((read = RandomAccess.Read(file, bytes[done..], offset + done)) == 0)
                throw Damaged("token cache", "an end before it was due");
        }
    }

    private static HaloException Damaged(string path, string found) =>
        new("data-cache", path, "a whole cache of tokens", found, "Remove it: it is written again.");

    private sealed class Writer(Stream stream) : ITokenRowsTarget
    {
        private readonly List<Entry> _entries = [];
        private readonly XxHash3 _hash = new();
        private byte[] _bits = new byte[256];
        private long _offset;

        public void Add(TokenizedRow row, int file, RowPlace place, bool isText)
        {
            _entries.Add(new Entry
            {
                Offset = _offset,
                Number = place.Number,
                Length = row.Ids.Length,
                FirstCounted = row.FirstCounted,
                Counted = row.CountedTokens,
                File = file,
                Unit = (int)place.Unit,
                IsText = isText ? 1 : 0,
            });
            Put(MemoryMarshal.AsBytes(row.Ids.AsSpan()));
            var bytes = (row.Ids.Length + 7) / 8;
            if (_bits.Length < bytes)
                _bits = new byte[bytes * 2];
            var bits = _bits.AsSpan(0, bytes);
            bits.Clear();
            for (var i = 0; i < row.LossMask.Length; i++)
                bits[i / 8] |= (byte)((row.LossMask[i] != 0 ? 1 : 0) << (i & 7));
            Put(bits);
        }

        public void End(TokenNotes notes)
        {
            var tail = new Tail { Entries = _offset, Rows = _entries.Count, Version = Version, Mark = Mark };
            Put(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(_entries)));
            tail.Notes = _offset;
            Put(JsonSerializer.SerializeToUtf8Bytes(notes));
            var bytes = MemoryMarshal.AsBytes(new Span<Tail>(ref tail));
            _hash.Append(bytes[..^16]);
            tail.Hash = _hash.GetCurrentHashAsUInt64();
            stream.Write(bytes);
        }

        private void Put(ReadOnlySpan<byte> bytes)
        {
            stream.Write(bytes);
            _hash.Append(bytes);
            _offset += bytes.Length;
        }
    }
}
