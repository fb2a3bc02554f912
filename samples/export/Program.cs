// What was trained, as a folder with 8-bit weights that ONNX Runtime serves: dotnet run --project export -- run served
using Halo.Training;

var result = ModelExport.Run(new ExportSettings(args[0], args[1]) { Weights = WeightType.Int8, MinAgreement = 0.9 });
Console.WriteLine($"{result.Folder}: same next token as the model at {result.Agreement:P1} of {result.Positions} places");
