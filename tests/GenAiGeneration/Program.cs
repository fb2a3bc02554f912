// Generates greedily with an inference folder of halo export by ONNX Runtime GenAI.
//   GenAiGeneration DIR COUNT TEXT ID ID ...    prints TEXT as GenAI's tokenizer encodes it, then the ids that follow ID ID ...
using Microsoft.ML.OnnxRuntimeGenAI;

using var handle = new OgaHandle();
using var model = new Model(args[0]);
using var tokenizer = new Tokenizer(model);
using var encoded = tokenizer.Encode(args[2]);
Console.WriteLine(string.Join(' ', encoded[0].ToArray()));

int[] prompt = [.. args[3..].Select(int.Parse)];
using var parameters = new GeneratorParams(model);
parameters.SetSearchOption("max_length", prompt.Length + int.Parse(args[1]));
using var generator = new Generator(model, parameters);
generator.AppendTokens(prompt);
while (!generator.IsDone())
    generator.GenerateNextToken();
Console.WriteLine(string.Join(' ', generator.GetSequence(0).ToArray()[prompt.Length..]));
