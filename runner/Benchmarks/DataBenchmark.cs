using System.Diagnostics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;

namespace Halo.Runner.Benchmarks;

/// <summary>How fast data become tokens: made text, no two rows alike, of the words of real rows as often as those have them.</summary>
/// <remarks>Rates are bytes of the data file over seconds of processor time, so that other work on the machine does not count and cores are comparable.</remarks>
internal sealed class DataBenchmark
{
    private const int QuestionWords = 60, AnswerWords = 20, TextWords = 10_000;

    /// <summary>Of the texts that are in memory at once.</summary>
    private const long PartBytes = 16 << 20;

    private readonly HfTokenizer _tokenizer;
    private readonly string[] _words;
    private readonly string _folder;

    /// <param name="tokenizer">Its chat template is rendered.</param>
    /// <param name="rows">Chat data whose words are taken.</param>
    /// <param name="folder">Where the data are written, for as long as they are read.</param>
    public DataBenchmark(HfTokenizer tokenizer, string rows, string folder)
    {
        (_tokenizer, _folder) = (tokenizer, folder);
        _words = [.. DataFileReader.Read(rows).SelectMany(r => r.RequireChat("bench").Messages).SelectMany(m => m.Content.Split(' ', StringSplitOptions.RemoveEmptyEntries))];
    }

    /// <summary>One measurement.</summary>
    /// <param name="What">Of what.</param>
    /// <param name="Megabytes">10^6 bytes of text or of the file.</param>
    /// <param name="CoreSeconds">Processor time of all threads.</param>
    /// <param name="Seconds">By the clock.</param>
    /// <param name="PeakMegabytes">Of the process's memory so far.</param>
    public sealed record Rate(string What, double Megabytes, double CoreSeconds, double Seconds, double PeakMegabytes);

    /// <summary>Ids alone, then all from a file with and without its cache.</summary>
    /// <param name="megabytes">Of the texts, and of the file.</param>
    /// <param name="sequence">Where rows are cut.</param>
    public IReadOnlyList<Rate> Run(int megabytes, int sequence)
    {
        var path = Path.Combine(_folder, "rows.jsonl");
        Write(path, megabytes * 1_000_000L);
        _tokenizer.Encode("a first text", false); // patterns and tables are made when they are first asked for
        var rates = new List<Rate> { Ids(megabytes * 1_000_000L) };
        var settings = new RowSettings { CacheFolder = _folder, HeldBytes = 0 };
        var size = new FileInfo(path).Length;
        rates.Add(Measure("rows: JSON, template, tokens, mask, cache", size, () => ChatDataset.Load(path, _tokenizer, settings, sequence)));
        rates.Add(Measure("second start, from the cache", size, () => ChatDataset.Load(path, _tokenizer, settings, sequence)));
        return rates;
    }

    /// <summary>Ids of so many bytes of text, which are made part by part in time that does not count.</summary>
    private Rate Ids(long bytes)
    {
        var (random, sum) = (new Rng(7), new Rate("ids of running text", 0, 0, 0, 0));
        while (sum.Megabytes < bytes / 1e6)
        {
            List<string> texts = [];
            var made = 0L;
            for (; made < Math.Min(PartBytes, bytes); made += Encoding.UTF8.GetByteCount(texts[^1]))
                texts.Add(Text(ref random, TextWords));
            var part = Measure(sum.What, made, () => { foreach (var text in texts) _tokenizer.Encode(text, false); });
            sum = part with
            {
                Megabytes = sum.Megabytes + part.Megabytes,
                CoreSeconds = sum.CoreSeconds + part.CoreSeconds,
                Seconds = sum.Seconds + part.Seconds,
            };
        }
        return sum;
    }

    /// <summary>Conversations of drawn words, up to so many bytes.</summary>
    private void Write(string path, long bytes)
    {
        var random = new Rng(1);
        using var stream = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read, 1 << 20);
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        while (stream.Position < bytes)
        {
            json.WriteStartObject();
            json.WriteStartArray("messages");
            foreach (var (role, words) in new[] { ("user", QuestionWords), ("assistant", AnswerWords) })
            {
                json.WriteStartObject();
                json.WriteString("role", role);
                json.WriteString("content", Text(ref random, words));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
            json.Flush();
            json.Reset();
            stream.WriteByte((byte)'\n');
        }
    }

    private string Text(ref Rng random, int count)
    {
        var text = new StringBuilder();
        for (var i = 0; i < count; i++)
            text.Append(i == 0 ? "" : " ").Append(random.Next() % 50 == 0 ? $"{random.Next() % 100_000}" : _words[(int)(random.Next() % (ulong)_words.Length)]);
        return text.ToString();
    }

    private static Rate Measure(string what, long bytes, Action work)
    {
        using var process = Process.GetCurrentProcess();
        GC.Collect();
        var (watch, before) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime);
        work();
        var (seconds, spent) = (watch.Elapsed.TotalSeconds, (Environment.CpuUsage.TotalTime - before).TotalSeconds);
        process.Refresh();
        return new Rate(what, bytes / 1e6, spent, seconds, process.PeakWorkingSet64 / 1e6);
    }

    /// <summary>Draws that are the same everywhere.</summary>
    private struct Rng(ulong seed)
    {
        private SplitMix64 _state = new(seed);

        public ulong Next() => _state.Next();
    }
}
