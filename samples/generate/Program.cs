// Asks a model, exported or not: dotnet run --project generate -- served "Write a SQL query ..."
using Halo.Training;

using var model = HaloModel.Open(args[0]);
Console.WriteLine(model.Answer(args[1], maxTokens: 64));
