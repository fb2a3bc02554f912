namespace Halo.Training;

/// <summary>The input was right and the work failed all the same: exit code 1.</summary>
public sealed class TrainingFailedException(string message) : Exception(message);
