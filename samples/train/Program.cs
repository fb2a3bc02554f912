// Fine-tunes a Hugging Face folder on chat data, in FP8: dotnet run --project train -- halo-demo/model data/questions.jsonl run
using Halo.Training;

var config = new TrainConfig
{
    Model = args[0], Data = args[1], Valid = args[1], Output = args[2], Scheme = "halo-0", Format = "fp8",
    Steps = 10, LearningRate = 3e-4, MicroBatchSize = 4, SequenceLength = 128,
};
var run = FineTuning.Run(config, row => Console.WriteLine($"step {row.Step}: {row.Kind} loss {row.Loss:F4}"));
Console.WriteLine($"validation loss {run.LossBefore:F4} -> {run.LossAfter:F4}; {run.Model}");
