namespace Halo.Training;

/// <summary>What the fields of a row mean.</summary>
public enum DataFormat
{
    /// <summary>What the fields of a file's first row say.</summary>
    Auto,

    /// <summary><c>messages</c>: a list of role and content.</summary>
    Messages,

    /// <summary><c>conversations</c>: a list of from and value.</summary>
    Sharegpt,

    /// <summary><c>instruction</c>, <c>input</c>, <c>output</c>.</summary>
    Alpaca,

    /// <summary><c>prompt</c>, <c>completion</c>.</summary>
    Completion,

    /// <summary><c>text</c>, or a file of text.</summary>
    Text,
}

/// <summary>The tokens of a row that the loss is taken on.</summary>
public enum LearnedTokens
{
    /// <summary>What the assistant says; of a prompt with its completion, the completion; of text, all.</summary>
    Answers,

    /// <summary>Every token.</summary>
    All,
}
