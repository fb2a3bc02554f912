namespace Halo.Runner.Data;

/// <summary>One message of a conversation.</summary>
public sealed record ChatTurn(string Role, string Content);
