using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Tokenizers;
using Halo.Models.Weights;

namespace Halo.Tests.Models;

public class HuggingFaceExportTests
{
    [Theory]
    [InlineData(ElementType.Float, "float32")]
    [InlineData(ElementType.Float16, "float16")]
    [InlineData(ElementType.BFloat16, "bfloat16")]
    [InlineData(null, "bfloat16")]
    public void A_folder_has_the_weights_in_the_type_and_says_so(ElementType? type, string word)
    {
        using var folder = new TemporaryFolder();
        HuggingFaceExport.Write([LlamaTiny.Folder], LlamaTiny.Folder, folder["out"], "model", type);
        using var original = CheckpointReader.Open(LlamaTiny.Folder);
        using var written = CheckpointReader.Open(folder["out"]);
        Assert.Equal(original.Tensors.Keys, written.Tensors.Keys);
        foreach (var (name, tensor) in original.Tensors)
        {
            Assert.Equal(type ?? tensor.DType, written[name].DType);
            Assert.Equal(tensor.Shape, written[name].Shape);
            var expected = tensor.ReadFloats();
            if (type == ElementType.Float16)
                expected = Array.ConvertAll(expected, v => (float)(Half)v);
            Assert.Equal(expected, written[name].ReadFloats());
        }
        Assert.Equal("pt", written.Metadata["format"]);
        Assert.Equal(word, (string?)JsonNode.Parse(File.ReadAllText(folder["out/config.json"]))!["dtype"]);
        var config = DecoderConfig.Load(folder["out"]);
        LlamaCheckpoint.Check(config, written);
        Assert.Equal(type ?? ElementType.BFloat16, config.DType);
        Assert.Equal(2048, HfTokenizer.Load(folder["out"]).VocabularySize);
        Assert.Equal("model", OwnedFolder.KindOf(folder["out"]));
    }

    [Fact]
    public void Large_models_are_shards_with_an_index()
    {
        const long Shard = 1_500_000;
        using var folder = new TemporaryFolder();
        HuggingFaceExport.Write([LlamaTiny.Folder], LlamaTiny.Folder, folder["out"], "model", ElementType.Float, Shard);
        var files = Directory.GetFiles(folder["out"], "*.safetensors").Order(StringComparer.Ordinal).ToList();
        Assert.True(files.Count > 3);
        foreach (var (n, file) in files.Index())
        {
            Assert.Equal($"model-{n + 1:D5}-of-{files.Count:D5}.safetensors", Path.GetFileName(file));
            using var shard = SafetensorsFile.Open(file);
            Assert.True(shard.Tensors.Count == 1 || shard.Tensors.Values.Sum(t => t.SizeBytes) <= Shard);
        }
        using var original = CheckpointReader.Open(LlamaTiny.Folder);
        using var written = CheckpointReader.Open(folder["out"]);
        Assert.All(original.Tensors.Keys, name => Assert.Equal(original.ReadFloats(name), written.ReadFloats(name)));
        var index = JsonNode.Parse(File.ReadAllText(folder["out/model.safetensors.index.json"]))!;
        Assert.Equal(original.Tensors.Values.Sum(t => 4 * t.ElementCount), (long)index["metadata"]!["total_size"]!);
    }

    [Fact]
    public void Values_beyond_the_type_and_codes_are_errors_that_name_the_tensor()
    {
        using var folder = new TemporaryFolder();
        Refused(Tensor.Floats([2], [1, 70000]), ElementType.Float16, "tensor 'w': expected values that float16 holds, found 70000");
        Refused(Tensor.Floats([2], [1, float.MaxValue]), ElementType.BFloat16, "tensor 'w': expected values that bfloat16 holds, found 3.402823e+38");
        Refused(Tensor.Int64s(1), ElementType.Float, "tensor 'w': expected floating point values, found int64");
        Assert.False(Directory.Exists(folder["out"]));

        void Refused(Tensor tensor, ElementType type, string part)
        {
            var error = Assert.Throws<HaloException>(() =>
                HuggingFaceExport.Write([LlamaTiny.Folder], new Dictionary<string, Tensor> { ["w"] = tensor }, folder["out"], "model", type));
            Assert.Contains(part, error.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>The limit is where the plain conversion gives infinity.</summary>
    [Theory]
    [InlineData(ElementType.Float16, 65520f)]
    [InlineData(ElementType.BFloat16, 3.3961776e38f)]
    public void What_rounds_to_infinity_is_beyond_a_type(ElementType type, float limit)
    {
        foreach (var sign in new[] { 1, -1 })
        {
            Assert.Equal(sign * limit, FloatConversions.FirstBeyond(type, [0, float.NaN, float.NegativeInfinity, sign * limit]));
            Assert.Null(FloatConversions.FirstBeyond(type, [0, sign * MathF.BitDecrement(limit)]));
            Assert.True(float.IsInfinity(Rounded(sign * limit)));
            Assert.True(float.IsFinite(Rounded(sign * MathF.BitDecrement(limit))));
        }

        float Rounded(float value)
        {
            var (bytes, back) = (new byte[2], new float[1]);
            FloatConversions.FromFloat(type, [value], bytes);
            FloatConversions.ToFloat(type, bytes, back);
            return back[0];
        }
    }
}
