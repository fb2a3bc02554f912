using Halo.Models.Bundled;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;

namespace Halo.Tests.Runner.Data;

/// <summary>Files as the forms' own documentation has them, made small; the Parquet one is written by Arrow's C++ library, as Python writes them.</summary>
public sealed class PublishedFormTests
{
    private static readonly HfTokenizer Tokenizer = HfTokenizer.Load(LlamaTiny.Folder);

    [Theory]
    [InlineData("messages.jsonl", "The city in its middle.<|eot_id|>", "A poet.<|eot_id|>Long ago.<|eot_id|>")]
    [InlineData("sharegpt.json", "I am a language model.<|eot_id|>You too!<|eot_id|>")]
    [InlineData("alpaca.json", "1. Eat well. \n2. Move. \n3. Sleep.<|eot_id|>", "Seven<|eot_id|>")]
    [InlineData("completion.jsonl", "blue.<|eot_id|>", "in the sky.<|eot_id|>")]
    [InlineData("conversational.jsonl", "It is blue.<|eot_id|>")]
    [InlineData("text.jsonl", "<|begin_of_text|>The sky is blue.<|eot_id|>", "<|begin_of_text|>Grass is green, \"mostly\".\nIn summer less.<|eot_id|>")]
    [InlineData("corpus.txt", "<|begin_of_text|>A text of two lines.\nThe second one.\n<|eot_id|>")]
    [InlineData("messages.parquet", "5<|eot_id|>", "Blue.<|eot_id|>Gr\u00FCn, which is green.<|eot_id|>", "<|eot_id|>", "5<|eot_id|>")]
    public void What_is_learned_of_a_published_example(string name, params string[] learned)
    {
        var rows = ChatDataset.Load(Path.Combine(AppContext.BaseDirectory, "Fixtures", "data", name), Tokenizer, new RowSettings(), 256).Rows;
        Assert.Equal(learned, rows.Select(row => Tokenizer.Decode([.. row.Ids.Where((_, i) => row.LossMask[i] != 0)], skipSpecialTokens: false)));
    }
}
