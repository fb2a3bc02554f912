// A training graph in, one whose large products run in 8 bits out: dotnet run --project rewrite -- halo-demo/training.onnx training-fp8.onnx
using Halo.Training;

var result = GraphRewrite.Run(args[0], args[1], scheme: "halo-2", format: "fp8", verify: true);
foreach (var pass in result.Passes)
    Console.WriteLine(pass);
Console.WriteLine(result.Linears);
Console.WriteLine(result.Output);
