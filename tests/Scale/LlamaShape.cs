namespace Halo.Tests.Scale;

/// <summary>The sizes of a LLaMA and of its batch.</summary>
public sealed record LlamaShape(int Layers, long Batch, long Sequence, long Hidden, long Heads, long KvHeads, long Ffn, long Vocabulary)
{
    /// <summary>The sizes of the fixture <c>llama3-gqa</c>.</summary>
    public static LlamaShape Export { get; } = new(3, 3, 24, 128, 8, 2, 448, 512);

    public long HeadDim => Hidden / Heads;

    /// <summary>[The Llama 3 Herd of Models, Table 3]; rows of 512 tokens, as HALO fine-tunes.</summary>
    public static LlamaShape Llama8B(int layers = 32, long batch = 1) => new(layers, batch, 512, 4096, 32, 8, 14336, 128256);

    /// <summary>[The Llama 3 Herd of Models, Table 3]; rows of 512 tokens.</summary>
    public static LlamaShape Llama405B(int layers = 126, long batch = 1) => new(layers, batch, 512, 16384, 128, 8, 53248, 128256);
}
