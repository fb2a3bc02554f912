using Halo;
using Halo.Runner.Cli;
using Halo.Runner.Training.Engine;

try
{
    return Root.Run(args);
}
catch (HaloException e)
{
    Console.Error.WriteLine($"error: {e.Message}");
    return ExitCode.WrongInput;
}
catch (Exception e) when (e is TrainingFailedException or IOException or UnauthorizedAccessException or InvalidOperationException or OutOfMemoryException)
{
    Console.Error.WriteLine($"error: {e.Message}");
    return ExitCode.Failed;
}
