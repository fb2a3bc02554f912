namespace Halo.Runner.Training.Config;

/// <summary>What reads a key of <see cref="TrainConfig"/>.</summary>
[Flags]
internal enum ConfigUse
{
    None = 0,

    /// <summary>halo train.</summary>
    Train = 1,

    /// <summary>halo prepare.</summary>
    Prepare = 2,

    /// <summary>halo eval.</summary>
    Eval = 4,

    /// <summary>halo eval of an inference folder.</summary>
    EvalFolder = 8,

    /// <summary>halo eval --exact-match of a run, an artifact or a Hugging Face folder.</summary>
    Answers = 16,

    /// <summary>An artifact, which holds the value: it is left out where the model is one.</summary>
    Artifact = 32,

    /// <summary>halo plan.</summary>
    Plan = 64,
}

/// <summary>Says at a property of <see cref="TrainConfig"/> what reads it; a verb has options for the keys that it reads.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class UsedByAttribute(ConfigUse users) : System.Attribute
{
    public ConfigUse Users => users;
}
