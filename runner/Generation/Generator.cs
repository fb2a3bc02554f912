using Halo.Runner.Data;

namespace Halo.Runner.Generation;

/// <summary>Why a completion ended.</summary>
internal enum EndedBy
{
    /// <summary>A stop token, which is not part of it.</summary>
    StopToken,

    /// <summary>The longest completion that was asked for.</summary>
    MaxTokens,

    /// <summary>The model takes no longer rows.</summary>
    MaxPositions,

    /// <summary>Whoever watched the tokens.</summary>
    Caller,
}

/// <summary>What a model wrote behind a prompt.</summary>
internal sealed record Completion(IReadOnlyList<int> Ids, EndedBy EndedBy);

/// <summary>Continues prompts token by token until each ends.</summary>
/// <param name="decoder">The model; not owned.</param>
/// <param name="sampling">How tokens are chosen.</param>
/// <param name="stops">Ids that end a completion.</param>
/// <param name="maxTokens">Longest completion.</param>
internal sealed class Generator(IDecoder decoder, SamplingSettings sampling, IReadOnlySet<int> stops, int maxTokens)
{
    private const string Name = "generate";

    /// <summary>Continues all prompts at once. Row n draws from a stream of random numbers of its own: (seed, n).</summary>
    /// <param name="prompts">Ids, at least one each.</param>
    /// <param name="onToken">Takes row and id of each token as it comes, stop tokens left out; false ends the row behind it.</param>
    /// <exception cref="HaloException">An empty or too long prompt, or settings out of range.</exception>
    /// <exception cref="InvalidOperationException">Logits that are not finite.</exception>
    public IReadOnlyList<Completion> Generate(IReadOnlyList<int[]> prompts, Func<int, int, bool>? onToken = null)
    {
        Check(prompts);
        var randoms = prompts.Select((_, row) => SplitMix64.Stream(sampling.Seed, (ulong)row)).ToArray();
        var written = prompts.Select(_ => new List<int>()).ToArray();
        var ended = new EndedBy?[prompts.Count];
        var longest = prompts.Max(p => p.Length);
        using var decoding = decoder.Begin(prompts, (int)Math.Min(decoder.MaxPositions, (long)longest + maxTokens));
        while (true)
        {
            var next = new int?[prompts.Count];
            for (var row = 0; row < prompts.Count; row++)
            {
                if (ended[row] is not null)
                    continue;
                var id = sampling.Temperature is null ? decoding.Best(row) : Sampler.Pick(decoding.Next(row), sampling, randoms[row].NextDouble());
                ended[row] = Take(row, id);
                next[row] = ended[row] is null ? id : null;
            }
            if (next.All(id => id is null))
                return [.. written.Zip(ended, (ids, by) => new Completion(ids, by!.Value))];
            decoding.Append(next);
        }

        EndedBy? Take(int row, int id)
        {
            if (stops.Contains(id))
                return EndedBy.StopToken;
            written[row].Add(id);
            if (onToken?.Invoke(row, id) == false)
                return EndedBy.Caller;
            return written[row].Count >= maxTokens ? EndedBy.MaxTokens
                : prompts[row].Length + written[row].Count >= decoder.MaxPositions ? EndedBy.MaxPositions : null;
        }
    }

    private void Check(IReadOnlyList<int[]> prompts)
    {
        sampling.Check();
        if (maxTokens < 1)
            throw new HaloException(Name, "the longest completion", "at least 1 token", $"{maxTokens}", "Give a larger --max-tokens.");
        for (var row = 0; row < prompts.Count; row++)
        {
            if (prompts[row].Length == 0)
                throw new HaloException(Name, $"prompt {row + 1}", "at least one token", "none", "Give a prompt with text; the tokenizer has no BOS token.");
            if (prompts[row].Length >= decoder.MaxPositions)
            {
                throw new HaloException(Name, $"prompt {row + 1}", $"fewer than {decoder.MaxPositions} tokens, which is all that the model takes",
                    $"{prompts[row].Length}", "Shorten it.");
            }
        }
    }
}
