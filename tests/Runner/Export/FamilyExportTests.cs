using System.Text.Json.Nodes;
using Halo.Models.HuggingFace;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Tests.Passes.Inference;
using Halo.Tests.Runner.Generation;

namespace Halo.Tests.Runner.Export;

/// <summary>Inference folders of every family: beyond windows, with norms of queries and keys, biases, layers that are not rotated.</summary>
public sealed class FamilyExportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Names => [.. FamilyFixture.Names];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Names))]
    public void A_folder_read_again_continues_as_Transformers_does(string name)
    {
        var config = Export(name);
        var served = InferenceFolder.Open(_folder["served"]);
        Assert.Equal((config.CachedPositions, config.HeadDim, config.KeyValueHeads, config.Layers), (served.MaxPositions, served.GenAi.Model.Decoder.HeadSize,
            served.GenAi.Model.Decoder.NumKeyValueHeads, served.GenAi.Model.Decoder.NumHiddenLayers));
        using var decoder = new DecoderSession(new GraphSession(served.ModelPath, new SessionSettings { Threads = 1 }), config.CachedPositions);
        var cases = FamilyInferenceTests.Cases(name).ToList();
        var found = new Generator(decoder, new SamplingSettings(), new HashSet<int>(), cases[0].Expected.Length)
            .Generate([.. cases.Select(c => Array.ConvertAll(c.Prompt, id => (int)id))]);
        Assert.Equal(cases.Select(c => string.Join(' ', c.Expected)), found.Select(f => string.Join(' ', f.Ids)));
    }

    /// <summary>Rotations go into the weights of every family but one, whose norms stand where they would have to pass.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Rotations_are_folded_into_the_weights_or_refused_with_a_reason(string name)
    {
        if (name == "olmo2-postnorm")
        {
            var refused = Assert.ThrowsAny<Exception>(() => Export(name, "--rotate", "--prompts", "2"));
            Assert.Contains("Leave the rotation out", refused.Message, StringComparison.Ordinal);
        }
        else
        {
            Export(name, "--rotate", "--prompts", "2");
        }
    }

    [WithGenAi]
    [MemberData(nameof(Names))]
    public void GenAI_continues_as_Transformers_does(string name)
    {
        Export(name);
        foreach (var (prompt, expected) in FamilyInferenceTests.Cases(name))
        {
            Assert.Equal(string.Join(' ', expected),
                OtherProgram.Run(OtherProgram.GenAi, [_folder["served"], $"{expected.Length}", "a", .. prompt.Select(id => $"{id}")])[^1]);
        }
    }

    /// <summary>Exports a fixture with a tokenizer of bytes beside it; what ends a text is an id that no continuation has.</summary>
    private DecoderConfig Export(string name, params string[] options)
    {
        TinyChat.Write(_folder, FamilyFixture.Folder(name));
        var path = _folder["model/config.json"];
        var json = JsonNode.Parse(File.ReadAllText(path))!;
        var written = FamilyInferenceTests.Cases(name).SelectMany(c => c.Prompt.Concat(c.Expected)).ToHashSet();
        var stop = Enumerable.Range(0, 256).First(id => !written.Contains(id));
        (json["bos_token_id"], json["eos_token_id"]) = (stop, stop);
        File.WriteAllText(path, json.ToJsonString());
        HaloConsole.Succeed([.. (string[])["export", _folder["model"], "-o", _folder["served"]], .. options.Length > 0 ? options : ["--prompts", "0"]]);
        return DecoderConfig.Load(_folder["model"]);
    }
}
