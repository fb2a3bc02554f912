using System.Text;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;

namespace Halo.Runner.Generation;

/// <summary>How many conversations of a file end as the model ends them: its greedy answer is the last assistant message, space at both ends aside.</summary>
/// <param name="Matched">Answers that are the expected text.</param>
/// <param name="Rows">Conversations.</param>
internal sealed record ExactMatch(int Matched, int Rows)
{
    /// <summary>Tokens of an answer; one that is longer is no match.</summary>
    public const int MaxTokens = 512;

    public double Share => (double)Matched / Rows;

    /// <summary>Answers every conversation of a file. One that cannot become the expected text any more is not written to its end.</summary>
    /// <param name="model">Who answers.</param>
    /// <param name="path">Chat data, as <see cref="DataFiles"/> takes it.</param>
    /// <param name="rowsAtOnce">Conversations that are answered together.</param>
    /// <param name="progress">Takes the conversations done and their number.</param>
    /// <param name="format">The form of its rows.</param>
    /// <exception cref="HaloException">A defect of the file, or a conversation longer than the model takes.</exception>
    public static ExactMatch Of(InferenceModel model, string path, int rowsAtOnce, Action<int, int>? progress = null, DataFormat format = DataFormat.Auto)
    {
        var questions = DataFiles.Of(path).SelectMany(file => DataFileReader.Read(file.Path, format)).Select(row => Question.Of(row, model)).ToList();
        var (matched, done) = (0, 0);
        foreach (var together in questions.OrderBy(q => q.Prompt.Length).Chunk(rowsAtOnce)) // of like lengths, so that little is padding
        {
            var answers = together.Select(q => new Answer(q.Expected, model.Tokenizer)).ToList();
            new Generator(model.Decoder, SamplingSettings.Greedy, model.StopIds, MaxTokens)
                .Generate([.. together.Select(q => q.Prompt)], (row, id) => answers[row].Add(id));
            matched += answers.Count(a => a.IsExpected());
            done += together.Length;
            progress?.Invoke(done, questions.Count);
        }
        return new ExactMatch(matched, questions.Count);
    }

    private sealed record Question(int[] Prompt, string Expected)
    {
        public static Question Of(DataRow row, InferenceModel model)
        {
            var chat = row.RequireChat("exact-match");
            var last = chat.Messages.ToList().FindLastIndex(m => m.Role == "assistant");
            var prompt = model.Chat.EncodePrompt(chat with { Messages = [.. chat.Messages.Take(last)] });
            return prompt.Length < model.Decoder.MaxPositions ? new Question(prompt, chat.Messages[last].Content.Trim())
                : throw new HaloException("exact-match", $"{row.Place}", $"fewer than {model.Decoder.MaxPositions} tokens before the answer",
                    $"{prompt.Length}", "Shorten or remove the line.");
        }
    }

    /// <summary>An answer while it is written.</summary>
    private sealed class Answer(string expected, HfTokenizer tokenizer)
    {
        private readonly TokenStream _stream = new(tokenizer, skipSpecialTokens: true);
        private readonly StringBuilder _text = new();

        /// <summary>Whether it can still become the expected text.</summary>
        public bool Add(int id)
        {
            var text = _text.Append(_stream.Add(id)).ToString().TrimStart();
            return text.Length <= expected.Length ? expected.StartsWith(text, StringComparison.Ordinal)
                : text.TrimEnd() == expected;
        }

        public bool IsExpected() => _text.Append(_stream.End()).ToString().Trim() == expected;
    }
}
