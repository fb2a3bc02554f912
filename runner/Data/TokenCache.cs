using System.Security.Cryptography;
using System.Text;
using Halo.Io;
using Halo.Models.Tokenizers;
using Halo.Passes.Infra;

namespace Halo.Runner.Data;

/// <summary>Where rows are kept as tokens: a file for each content of data files, tokenizer and settings, so that another start does not tokenize again.</summary>
/// <param name="path">The file.</param>
internal sealed class TokenCache(string path)
{
    public const string Extension = ".tokens";

    /// <summary>The cache of some data in a folder.</summary>
    internal static TokenCache In(string folder, IReadOnlyList<DataFile> files, HfTokenizer tokenizer, RowSettings settings)
    {
        var content = DataFiles.Sha256([.. files.Select(f => f with { Weight = 1 })]); // weights are taken when rows are drawn
        var key = SHA256.HashData(Encoding.UTF8.GetBytes(
            $"{TokenFile.Version}\n{Ledger.ToolVersion}\n{files.Count}\n{content}\n{tokenizer.Sha256}\n{settings.Format}\n{settings.Learn}\n"));
        return new TokenCache(Path.Combine(folder, Convert.ToHexStringLower(key)[..32] + Extension));
    }

    internal string FilePath => path;

    /// <summary>The rows of the cache, or those that <paramref name="encode"/> gives, which are then in it.</summary>
    /// <param name="encode">Adds rows one by one, and gives what is known of them at the end.</param>
    /// <param name="note">Takes a sentence on where the rows come from.</param>
    /// <exception cref="HaloException">The folder cannot be written, or what <paramref name="encode"/> throws; then nothing is there that was not.</exception>
    internal (ITokenRows Rows, TokenNotes Notes) Open(Func<ITokenRowsTarget, TokenNotes> encode, Action<string> note)
    {
        if (Path.Exists(path))
        {
            try
            {
                var read = TokenFile.Open(path);
                note($"tokens were read from {path}");
                return read;
            }
            catch (Exception e) when (e is HaloException or IOException or UnauthorizedAccessException)
            {
                note($"{path} is damaged ({(e as HaloException)?.Found ?? e.Message.TrimEnd('.')}), so the data were tokenized again");
            }
        }
        AtomicFile.Write(path, stream => TokenFile.Write(stream, encode));
        note($"tokens are kept in {path}");
        return TokenFile.Open(path);
    }

    /// <summary>The same in a file of the system's temporary folder that is gone when the process ends, for data that memory should not hold.</summary>
    internal static (ITokenRows Rows, TokenNotes Notes) Temporary(Func<ITokenRowsTarget, TokenNotes> encode)
    {
        var path = Path.Combine(Path.GetTempPath(), $"halo-{Guid.NewGuid():N}{Extension}");
        try
        {
            using (var stream = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20))
                TokenFile.Write(stream, encode);
            return TokenFile.Open(path);
        }
        finally
        {
            File.Delete(path); // its content stays as long as it is open
        }
    }
}
