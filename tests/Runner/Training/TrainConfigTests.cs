using CsCheck;
using Halo.Runner.Training;
using Halo.Runner.Training.Schedules;

namespace Halo.Tests.Runner.Training;

public class TrainConfigTests
{
    [Fact]
    public void Defaults_fill_what_is_not_given()
    {
        var config = TrainConfig.Parse("model: llama-tiny");
        Assert.Equal(new TrainConfig { Model = "llama-tiny" }.ToYaml(), config.ToYaml());
        Assert.Equal((1, "none", 5), (config.TotalSteps(1), config.Scheme, config.TotalSteps(5)));
    }

    [Fact]
    public void Options_win_over_the_file()
    {
        var config = TrainConfig.Parse("model: a\nepochs: 3\nlearning_rate: 1e-3\n", options: new Dictionary<string,
            string>
        { ["steps"] = "7", ["learning_rate"] = "0.5" });
        Assert.Equal((7, null, 0.5), (config.TotalSteps(100), config.Epochs, config.LearningRate));
    }

    [Theory]
    [InlineData("lerning_rate: 1", "x.yaml, line 2: expected a known key, found 'lerning_rate'. Did you mean 'learning_rate'?")]
    [InlineData("zzzzzzzz: 1", "The keys are model, weights")]
    [InlineData("quantize: [{match: a, skheme: b}]", "Did you mean 'scheme'?")]
    [InlineData("quantize: [{scheme: b}]", "x.yaml, line 2: quantize[0]: expected a key 'match'")]
    [InlineData("quantize: fp8", "a list of {match, scheme, format}")]
    [InlineData("learning_rate: -1", "x.yaml, line 2: learning_rate: expected a number above 0, found '-1'")]
    [InlineData("learning_rate: .nan", "found '.nan'")]
    [InlineData("batch_size: 0", "a whole number from 1 up, found '0'")]
    [InlineData("batch_size: 1.5", "a whole number from 1 up, found '1.5'")]
    [InlineData("beta1: 1", "a number from 0 to below 1")]
    [InlineData("decay_fraction: 0", "a number above 0 to 1")]
    [InlineData("seed: null", "found null")]
    [InlineData("seed: 1\n\0steps: 5", "a character of zero")]
    [InlineData("scheme: ''", "found ''")]
    [InlineData("device: gpu", "one of cpu, cuda, found 'gpu'")]
    [InlineData("schedule: 1", "one of linear, cosine, constant, wsd, found '1'")]
    [InlineData("data: [a]", "found a list")]
    [InlineData("steps: 3\nepochs: 2", "steps or epochs")]
    [InlineData("steps: 3\nwarmup_steps: 4", "at most the 3 steps")]
    [InlineData("schedule: constant\nmin_lr_ratio: 0.1", "line 3: min_lr_ratio")]
    [InlineData("decay_fraction: 0.3", "schedule wsd")]
    [InlineData("model: b", "valid YAML")]
    [InlineData("data: [", "valid YAML")]
    [InlineData("? &a [*a]\n: 1", "x.yaml, line 2: expected a key that is text")]
    [InlineData("? {a: b}\n: 1", "a key that is text")]
    [InlineData("quantize:\n  - : \"*.down_proj\"\n    scheme: halo-2\n  - match: a\n", "x.yaml, line ")]
    [InlineData("quantize: [0\npipeline: null\nmin_lr_ratio: ]\n", "x.yaml, line ")]
    [InlineData("data: *nothing", "valid YAML")]
    [InlineData("threads: 1000000", "a whole number from 0 to 1024")]
    public void Refuses_with_the_place_and_the_remedy(string line, string message)
        => Assert.Contains(message, Assert.Throws<HaloException>(() => TrainConfig.Parse("model: a\n" + line, "x.yaml")).Message);

    [Fact]
    public void Refuses_hostile_text_at_once()
    {
        var laughs = "a: &a [x, x]\n" + string.Concat(Enumerable.Range('b', 20).Select(c => $"{(char)c}: &{(char)c} [*{(char)(c - 1)}, *{(char)(c - 1)}]\n")) + "? *u\n: 1\n";
        string[] texts =
        [
            "model: " + new string('[', 100_000) + new string(']', 100_000), "model: " + new string('[', 100_000), "model: " + string.Concat(Enumerable.Repeat("{a: ", 50_000)),
            "model: a\n" + string.Concat(Enumerable.Repeat("? ", 12_000)), "model: a\n" + string.Concat(Enumerable.Repeat("- ", 12_000)), laughs,
            "model: a\n" + string.Concat(Enumerable.Repeat("zz: [a, b]\n", 60_000)), "model: " + new string('a', 2 << 20), "model: &a [*a]",
            "model: a\nquantize: &a\n  - *a\n",
        ];
        foreach (var text in texts)
        {
            var begun = ThreadTime.Seconds;
            Assert.Throws<HaloException>(() => TrainConfig.Parse(text, "x.yaml"));
            Assert.InRange(ThreadTime.Seconds - begun, 0, 20);
        }
    }

    [Fact]
    public void Aliases_of_values_are_followed() =>
        Assert.Equal(("a", "a"), TrainConfig.Parse("model: &m a\nweights: *m\n") is var c ? (c.Model, c.Weights) : default);

    [Fact]
    public void Names_a_bad_option_as_typed()
    {
        var e = Assert.Throws<HaloException>(() => TrainConfig.Load(null, new Dictionary<string, string> { ["model"] = "a", ["batch_size"] = "x" }));
        Assert.Equal("option --batch-size", e.Subject);
    }

    [Fact]
    public void Names_a_key_that_is_missing()
    {
        Assert.Contains("--model", Assert.Throws<HaloException>(() => TrainConfig.Parse("")).Message);
        Assert.Contains("--data", Assert.Throws<HaloException>(() => TrainConfig.Parse("model: a", required: "data")).Message);
    }

    [Fact]
    public void Yaml_round_trips()
    {
        string[] hard = ["null", "~", "true", "12", "1e3", "a: b", "# no", "- x", "F=K;E=N+M;G=N", "*", " a ", "\u00e4\u2028", "a\nb"];
        var text = Gen.OneOf(Gen.String, Gen.Int[0, hard.Length - 1].Select(i => hard[i])).Where(s => s.Length > 0 && !s.Any(char.IsSurrogate));
        Gen.Select(text, text, Gen.Double[1e-12, 1e3], Gen.Int[1, 1000], Gen.Enum<ScheduleKind>(), Gen.Bool).Sample((a, b, x, n, schedule, some) =>
        {
            var config = new TrainConfig
            {
                Model = a,
                Scheme = b,
                LearningRate = x,
                BatchSize = some ? n : null,
                Weights = some ? b : null,
                ClipNorm = some ? x : null,
                Schedule = schedule,
                Quantize = some ? [new QuantizeRule { Match = b, Format = a }, new QuantizeRule { Match = a, Scheme = b }] : [],
            };
            var read = TrainConfig.Parse(config.ToYaml());
            Assert.Equal(config.Quantize, read.Quantize);
            Assert.Equal(config with { Quantize = read.Quantize }, read);
            Assert.Equal(config.ToYaml(), read.ToYaml());
        }, iter: 300);
    }

    [Fact]
    public void Schema_has_every_key_with_its_bounds()
    {
        using var schema = System.Text.Json.JsonDocument.Parse(TrainConfig.Schema());
        var properties = schema.RootElement.GetProperty("properties");
        var keys = new TrainConfig { Model = "a" }.ToYaml().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l[..l.IndexOf(':')]);
        Assert.Equal(keys, properties.EnumerateObject().Select(p => p.Name));
        Assert.False(schema.RootElement.GetProperty("additionalProperties").GetBoolean());
        Assert.All(properties.EnumerateObject(), p => Assert.True(p.Value.TryGetProperty("description", out _), p.Name));
        Assert.Equal(0.9, properties.GetProperty("beta1").GetProperty("default").GetDouble());
        Assert.Equal(1, properties.GetProperty("batch_size").GetProperty("minimum").GetDouble());
    }
}
