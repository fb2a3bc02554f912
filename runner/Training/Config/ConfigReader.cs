using System.Globalization;
using System.Text;
using Halo.Io;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Training;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Halo.Runner.Training.Config;

/// <summary>YAML and options to a checked <see cref="TrainConfig"/>.</summary>
internal static class ConfigReader
{
    private const string Reader = "train-config", Adapter = "adapter";

    /// <summary>A value and the place that an error about it names.</summary>
    private sealed record Given(YamlNode Node, string Where);

    public static string TextOf(string path)
    {
        if (Directory.Exists(path)) throw new HaloException(Reader, path, "a YAML file", "a folder", "Name the file in it.");
        FilePlace.RequireRegular(path);
        if (FileContent.Other(path) is var (found, advice)) throw new HaloException(Reader, path, "a YAML file", found, advice);
        try
        {
            using var file = File.OpenRead(path);
            var bytes = new byte[YamlEvents.MaxSizeBytes + 1];
            var length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            if (length == bytes.Length)
                throw new HaloException(Reader, path, $"a YAML file of at most {YamlEvents.MaxSizeBytes} bytes", "a larger one", "Name the file of settings.");
            using var text = new StreamReader(new MemoryStream(bytes, 0, length), new UTF8Encoding(false, throwOnInvalidBytes: true));
            return text.ReadToEnd();
        }
        catch (DecoderFallbackException e)
        {
            throw new HaloException(Reader, path, "a YAML file in UTF-8", e.Message.TrimEnd('.'), "Save it as UTF-8.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HaloException(Reader, path, "a YAML file that can be read", e.Message.TrimEnd('.'), "Check the path.", e);
        }
    }

    public static TrainConfig Read((string Name, string Text)? yaml, IReadOnlyDictionary<string, string>? options, IReadOnlyCollection<string> required)
    {
        if (yaml is { } whole && whole.Text.Contains('\0', StringComparison.Ordinal))
            throw new HaloException(Reader, whole.Name, "text", "a character of zero, behind which nothing would be read", "Save it as UTF-8.");
        var given = yaml is { } file ? Keys(Root(file.Name, file.Text), file.Name, ConfigKey.OfTrainConfig) : [];
        Override(given, options ?? new Dictionary<string, string>());
        foreach (var name in required.Prepend("model"))
            if (!given.TryGetValue(name, out var value) || IsNull(value.Node))
                throw new HaloException(Reader, name, "a value", "none", $"Give --{Option(name)} or the key '{name}'.");
        var config = Fill(new TrainConfig { Model = "" }, ConfigKey.OfTrainConfig, given);
        CheckTogether(config, name => given.TryGetValue(name, out var value) ? value.Where : name);
        return config;
    }

    private static void Override(Dictionary<string, Given> given, IReadOnlyDictionary<string, string> options)
    {
        if (options.ContainsKey("steps") && !options.ContainsKey("epochs")) given.Remove("epochs"); // either says how long; the option wins
        if (options.ContainsKey("epochs") && !options.ContainsKey("steps")) given.Remove("steps");
        foreach (var (name, text) in options)
        {
            Known(name, $"option --{Option(name)}", ConfigKey.OfTrainConfig);
            given[name] = new Given(new YamlScalarNode(text), $"option --{Option(name)}");
        }
    }

    private static string Option(string key) => key.Replace('_', '-');

    private static YamlNode? Root(string name, string text)
    {
        YamlEvents.Check(Reader, name, text);
        var stream = new YamlStream();
        try { stream.Load(new StringReader(text)); }
        catch (Exception e) when (e is YamlException or ArgumentException or InvalidOperationException)
        {
            throw YamlEvents.Invalid(Reader, name, e, line: 0);
        }
        return stream.Documents.Count switch
        {
            0 => null,
            1 => stream.Documents[0].RootNode,
            var n => throw new HaloException(Reader, name, "one YAML document", $"{n}", "Split the file."),
        };
    }

    private static Dictionary<string, Given> Keys(YamlNode? node, string file, IReadOnlyList<ConfigKey> known)
    {
        var given = new Dictionary<string, Given>();
        if (node is null || IsNull(node)) return given;
        if (node is not YamlMappingNode map)
            throw new HaloException(Reader, $"{file}, line {node.Start.Line}", "a mapping of keys to values", node.NodeType.ToString().ToLowerInvariant(),
                "Write 'key: value'.");
        foreach (var (key, value) in map)
        {
            var name = (key as YamlScalarNode)?.Value ?? "";
            Known(name, $"{file}, line {key.Start.Line}", known);
            if (name == Adapter && value is YamlMappingNode adapter)
            {
                foreach (var (inner, setting) in adapter)
                {
                    var flat = $"{Adapter}_{(inner as YamlScalarNode)?.Value}";
                    Known(flat, $"{file}, line {inner.Start.Line}", known);
                    given[flat] = new Given(setting, $"{file}, line {inner.Start.Line}: {flat}");
                }
                continue;
            }
            given[name] = new Given(value, $"{file}, line {key.Start.Line}: {name}");
        }
        return given;
    }

    private static void Known(string name, string where, IReadOnlyList<ConfigKey> known)
    {
        if (known.Any(k => k.Name == name)) return;
        var nearest = NearestName.Of(name, known.Select(k => k.Name));
        var advice = nearest is null ? $"The keys are {string.Join(", ", known.Select(k => k.Name))}." : $"Did you mean '{nearest}'?";
        throw new HaloException(Reader, where, "a known key", $"'{name}'", advice);
    }

    private static T Fill<T>(T target, IReadOnlyList<ConfigKey> keys, Dictionary<string, Given> given) where T : class
    {
        foreach (var key in keys)
            if (given.TryGetValue(key.Name, out var value))
                key.Property.SetValue(target, Convert(key, value));
        return target;
    }

    private static object? Convert(ConfigKey key, Given given)
    {
        if (key.Type == typeof(IReadOnlyList<QuantizeRule>)) return Rules(given);
        if (given.Node is not YamlScalarNode scalar) throw Bad(given, key, "a list or a mapping");
        if (IsNull(scalar)) return key.TakesNull ? null : throw Bad(given, key, "null");
        var text = scalar.Value!;
        object? value = null;
        if (key.Type == typeof(string)) value = text.Length > 0 ? text : null;
        else if (key.Type == typeof(int)) value = int.TryParse(text, NumberStyles.AllowLeadingSign, null, out var i) ? i : null;
        else if (key.Type == typeof(double)) value = double.TryParse(text, NumberStyles.Float, null, out var d) && double.IsFinite(d) ? d : null;
        else if (key.Type == typeof(bool)) value = text is "true" or "false" ? text == "true" : null;
        else value = Enum.GetValues(key.Type).Cast<object>().FirstOrDefault(e => ConfigKey.NameOf(e.ToString()!) == text);
        return value is not null && key.Allows(value) ? value : throw Bad(given, key, $"'{text}'");
    }

    private static QuantizeRule[] Rules(Given given)
    {
        if (IsNull(given.Node)) return [];
        if (given.Node is not YamlSequenceNode list)
            throw new HaloException(Reader, given.Where, "a list of {match, scheme, format}", given.Node.NodeType.ToString().ToLowerInvariant(),
                "Write it in the YAML file.");
        return list.Select((node, i) =>
        {
            var rule = Keys(node, $"{given.Where}[{i}]", ConfigKey.OfQuantizeRule);
            if (!rule.ContainsKey("match"))
                throw new HaloException(Reader, $"{given.Where}[{i}]", "a key 'match'", "none", "Say which weights the rule is for.");
            return Fill(new QuantizeRule { Match = "" }, ConfigKey.OfQuantizeRule, rule);
        }).ToArray();
    }

    /// <summary>What the settings have to be to each other. A setting that nothing would read is an error, as it cannot be honoured.</summary>
    private static void CheckTogether(TrainConfig config, Func<string, string> where)
    {
        if (config is { Epochs: { } epochs, Steps: { } steps })
            throw new HaloException(Reader, where("steps"), "steps or epochs", $"steps {steps} and epochs {epochs}", "Remove one.");
        if (config is { Schedule: ScheduleKind.Constant, MinLrRatio: not 0 })
            throw new HaloException(Reader, where("min_lr_ratio"), "0 with a constant schedule", $"{config.MinLrRatio}",
                "Remove it or choose a schedule that decays.");
        if (config.Schedule != ScheduleKind.Wsd && config.DecayFraction != Schedules.LearningRateSchedule.DefaultDecayFraction)
            throw new HaloException(Reader, where("decay_fraction"), "schedule wsd", $"schedule {ConfigKey.NameOf(config.Schedule.ToString())}",
                "Remove it or set 'schedule: wsd'.");
        if (config is { States: StatePrecision.Bf16, Precision: not FloatPrecision.Bf16 })
            throw new HaloException(Reader, where("states"), "precision bf16 with it", $"precision {ConfigKey.NameOf(config.Precision.ToString())}",
                "Set 'precision: bf16', or leave states out.");
        if ((config.ClipBy == ClipReference.PreviousStep) != (config is { OptimizerInBackward: true, ClipNorm: not null }))
            throw new HaloException(Reader, where(config.ClipBy == ClipReference.Step ? "clip_norm" : "clip_by"),
                "clip_by previous_step where optimizer_in_backward clips, and nowhere else",
                $"clip_by {ConfigKey.NameOf(config.ClipBy.ToString())}, optimizer_in_backward {(config.OptimizerInBackward ? "true" : "false")}, "
                    + (config.ClipNorm is null ? "no clip_norm" : "a clip_norm"),
                config.ClipBy == ClipReference.Step ? "Set 'clip_by: previous_step', or leave one of the two out." : "Leave clip_by out.");
        if (config is { Adapter: not null, AdapterKind: not AdapterKind.None })
            throw new HaloException(Reader, where("adapter_kind"), "an adapter's folder or a kind", "both", "Remove one: the folder says its kind.");
        if (config.AdapterKind == AdapterKind.None && ConfigKey.OfTrainConfig.FirstOrDefault(k => k.Name.StartsWith("adapter_", StringComparison.Ordinal)
            && !k.IsDefault(config) && !(k.Name == "adapter_base" && config.Adapter is not null)) is { } idle)
        {
            throw new HaloException(Reader, where(idle.Name), "adapter_kind with it", "none",
                config.Adapter is null ? "Set 'adapter_kind: lora', or remove it." : "Remove it: the adapter's folder says it.");
        }
        var isByRows = config.AdapterKind == AdapterKind.Efqat;
        string[] ofRows = ["adapter_rows", "adapter_every"];
        if (config.AdapterKind != AdapterKind.None && ConfigKey.OfTrainConfig.FirstOrDefault(k => k.Name.StartsWith("adapter_", StringComparison.Ordinal)
            && k.Name != "adapter_kind" && ofRows.Contains(k.Name) != isByRows && !k.IsDefault(config)) is { } other)
        {
            throw new HaloException(Reader, where(other.Name), isByRows ? "adapter_kind lora or dora with it" : "adapter_kind efqat with it",
                $"adapter_kind {ConfigKey.NameOf(config.AdapterKind.ToString())}", "Remove it.");
        }
        if (config.AdapterKind is not AdapterKind.Rosa and not AdapterKind.None && ConfigKey.OfTrainConfig.FirstOrDefault(
            k => k.Name is "adapter_density" or "adapter_warmup" && !k.IsDefault(config)) is { } sparse)
        {
            throw new HaloException(Reader, where(sparse.Name), "adapter_kind rosa with it", $"adapter_kind {ConfigKey.NameOf(config.AdapterKind.ToString())}",
                "Remove it.");
        }
        if (isByRows && (config.Pipeline is not null || config.OptimizerInBackward))
        {
            throw new HaloException(Reader, where("adapter_kind"), $"no {(config.Pipeline is null ? "optimizer_in_backward" : "pipeline")} with efqat, "
                + "which has passes and updates of its own", "both", "Remove one.");
        }
        if (config.Device != GraphDevice.Cuda && (config.Offload != Offload.None ? "offload" : config.OffloadResiduals ? "offload_residuals" : null) is { } offload)
            throw new HaloException(Reader, where(offload), "device cuda, whose memory it saves", $"device {ConfigKey.NameOf(config.Device.ToString())}",
                $"Set 'device: cuda', or leave {offload} out.");
        if (config.WeightCodes == WeightCodes.Update
            && (config.Recompute == Recomputed.Weights ? "recompute weights" : config.OptimizerInBackward ? "optimizer_in_backward" : null) is { } each)
            throw new HaloException(Reader, where("weight_codes"), $"micro_batch with {each}, by which codes of weights serve one micro-batch", "update", "Remove one.");
        if (config.Patience is not null && (config.Valid is null || config.EvalEvery == 0))
            throw new HaloException(Reader, where("patience"), "valid and eval_every with it", config.Valid is null ? "no valid" : "no eval_every",
                "Set both, or leave patience out.");
        if (config is { Take: TakenModel.Best, Valid: null })
            throw new HaloException(Reader, where("take"), "valid with take best", "none", "Set 'valid', or take the newest.");
        if (config.Steps is { } total && config.WarmupSteps > total)
            throw new HaloException(Reader, where("warmup_steps"), $"at most the {total} steps", $"{config.WarmupSteps}", "Lower it.");
    }

    /// <summary>A plain null or nothing behind the colon; a quoted one is text.</summary>
    private static bool IsNull(YamlNode node)
        => node is YamlScalarNode { Style: ScalarStyle.Plain or ScalarStyle.Any } scalar && scalar.Value is null or "" or "~" or "null" or "Null" or "NULL";

    private static HaloException Bad(Given given, ConfigKey key, string found)
        => new(Reader, given.Where, key.Expected, found, "Correct the value.");
}
