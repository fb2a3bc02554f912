using System.Text;
using Google.Protobuf;

namespace Halo.Tests.Fuzz;

/// <summary>Changes fields of ONNX files' messages: lost, doubled, moved, exchanged for those of other graphs, nested, numbers at their limits.</summary>
/// <param name="random">Draws the changes; the same seed gives the same ones.</param>
/// <param name="files">Of which parts are taken.</param>
internal sealed class OnnxMutator(Random random, IReadOnlyList<byte[]> files)
{
    private static readonly ulong[] Numbers =
    [
        0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 16, 17, 24, 63, 64, 127, 255, 4095, 65536, int.MaxValue, (ulong)int.MaxValue + 1, uint.MaxValue, 1UL << 33, long.MaxValue,
        ulong.MaxValue, ulong.MaxValue - 1, ulong.MaxValue - 99, unchecked((ulong)int.MinValue), unchecked((ulong)long.MinValue),
    ];

    private static readonly string[] Words =
    [
        "", "MatMul", "Gemm", "Transpose", "Reshape", "Gather", "Cast", "Constant", "Slice", "Pad", "If", "Loop", "Split", "Concat", "Where", "Range",
        "ConstantOfShape", "Expand", "Tile", "Squeeze", "ReduceSum", "Attention", "LayerNormalization", "SoftmaxCrossEntropyLoss", "TopK", "Einsum", "com.halo",
        "com.microsoft", "ai.onnx", "axis", "perm", "to", "value", "axes", "alpha", "keepdims", "blocks", "transA",
        "loss", "grad.w", "input_ids", "attention_mask", "labels", "batch", "/dev/zero", "../x", "location",
    ];

    private readonly List<Part> _pool = [.. files.SelectMany(f => Parts(Parse(f, "Model")!)).Where(p => p.Field.Content is not null)];

    /// <summary>Which fields of a message are messages themselves [onnx.proto].</summary>
    private static readonly Dictionary<string, Dictionary<int, string>> Messages = new()
    {
        ["Model"] = new() { [7] = "Graph", [8] = "Opset", [14] = "Entry", [25] = "Function" },
        ["Graph"] = new() { [1] = "Node", [5] = "Tensor", [11] = "Info", [12] = "Info", [13] = "Info", [16] = "Entry" },
        ["Node"] = new() { [5] = "Attribute", [9] = "Entry" },
        ["Attribute"] = new() { [5] = "Tensor", [6] = "Graph", [10] = "Tensor", [11] = "Graph" },
        ["Tensor"] = new() { [13] = "Entry" },
        ["Info"] = new() { [2] = "Type" },
        ["Type"] = new() { [1] = "TensorType" },
        ["TensorType"] = new() { [2] = "Shape" },
        ["Shape"] = new() { [1] = "Dim" },
        ["Function"] = new() { [7] = "Node", [9] = "Opset", [11] = "Attribute" },
    };

    /// <summary>One to a few changes of the file's fields.</summary>
    internal byte[] Change(byte[] file)
    {
        if (Parse(file, "Model") is not { } model)
            return file;
        for (var left = 1 + random.Next(random.Next(1, 5)); left > 0; left--)
        {
            var parts = Parts(model).ToList();
            if (parts.Count > 0)
                One(parts[random.Next(parts.Count)], parts);
        }
        return Write(model);
    }

    private void One(Part part, List<Part> parts)
    {
        var (list, at, field) = (part.List, part.List.IndexOf(part.Field), part.Field);
        switch (random.Next(12))
        {
            case 0:
                list.RemoveAt(at);
                break;
            case 1:
                list.Insert(random.Next(list.Count + 1), field.Copy());
                break;
            case 2:
                list.RemoveAt(at);
                list.Insert(random.Next(list.Count + 1), field);
                break;
            case 3:
                field.Number = random.Next(1, 30);
                break;
            case 4 when field.Children is not null:
                for (var depth = 1 << random.Next(9); depth > 0 && field.Message == "Graph"; depth--)
                    field.Children = [new Field(1, 2) { Message = "Node", Children = [Text(4, "If"), Text(2, $"n{depth}"),
                        new Field(5, 2) { Message = "Attribute", Children = [Text(1, "then_branch"), new Field(20, 0) { Varint = 5 },
                            new Field(6, 2) { Message = "Graph", Children = field.Children }] }] }];
                break;
            default:
                Replace(part, parts);
                break;
        }
    }

    /// <summary>Another value: of the same field elsewhere, of another graph, or one at a limit.</summary>
    private void Replace(Part part, List<Part> parts)
    {
        var field = part.Field;
        if (field.Wire == 0)
        {
            field.Varint = random.Next(3) switch { 0 => field.Varint + (ulong)random.Next(-3, 4), _ => Numbers[random.Next(Numbers.Length)] };
        }
        else if (field.Wire != 2)
        {
            var number = BitConverter.GetBytes(new[] { 0f, -1, float.NaN, float.PositiveInfinity, 1e30f, 0.5f }[random.Next(6)]);
            field.Fixed = field.Wire == 5 ? number : [.. number, 0, 0, 0, 0];
        }
        else if (random.Next(3) < 2)
        {
            var from = random.Next(2) == 0 ? parts : _pool;
            for (var tries = 0; tries < 50; tries++)
            {
                var other = from[random.Next(from.Count)];
                if (other.Field.Wire != 2 || other.Field.Message != field.Message
                    || (tries < 40 && (other.Parent, other.Field.Number) != (part.Parent, field.Number)))
                    continue;
                var copy = other.Field.Copy();
                (field.Content, field.Children) = (copy.Content, copy.Children);
                return;
            }
        }
        else if (field.Content is { } content)
        {
            field.Content = random.Next(4) switch
            {
                0 => Encoding.UTF8.GetBytes(Words[random.Next(Words.Length)]),
                1 => content[..random.Next(content.Length + 1)],
                2 => [.. content, .. BitConverter.GetBytes((long)Numbers[random.Next(Numbers.Length)])],
                _ => [.. content.Select(b => random.Next(4) == 0 ? (byte)random.Next(256) : b)],
            };
        }
    }

    private static Field Text(int number, string text) => new(number, 2) { Content = Encoding.UTF8.GetBytes(text) };

    private static List<Field>? Parse(byte[] bytes, string message)
    {
        var fields = new List<Field>();
        try
        {
            var input = new CodedInputStream(bytes);
            while (input.ReadTag() is var tag and not 0)
            {
                var field = new Field((int)(tag >> 3), (int)(tag & 7));
                switch (field.Wire)
                {
                    case 0: field.Varint = input.ReadUInt64(); break;
                    case 1: field.Fixed = BitConverter.GetBytes(input.ReadFixed64()); break;
                    case 5: field.Fixed = BitConverter.GetBytes(input.ReadFixed32()); break;
                    case 2:
                        var content = input.ReadBytes().ToByteArray();
                        field.Message = Messages.GetValueOrDefault(message)?.GetValueOrDefault(field.Number) ?? "";
                        field.Children = field.Message.Length > 0 ? Parse(content, field.Message) : null;
                        field.Content = field.Children is null ? content : null;
                        break;
                    default: return null;
                }
                fields.Add(field);
            }
        }
        catch (InvalidProtocolBufferException)
        {
            return null;
        }
        return fields;
    }

    private static byte[] Write(List<Field> fields)
    {
        var bytes = new MemoryStream();
        void Varint(ulong value)
        {
            for (; value >= 0x80; value >>= 7)
                bytes.WriteByte((byte)(value | 0x80));
            bytes.WriteByte((byte)value);
        }
        foreach (var field in fields)
        {
            Varint((ulong)((field.Number << 3) | field.Wire));
            if (field.Wire == 0)
            {
                Varint(field.Varint);
                continue;
            }
            var content = field.Fixed ?? (field.Children is { } children ? Write(children) : field.Content!);
            if (field.Wire == 2)
                Varint((ulong)content.Length);
            bytes.Write(content);
        }
        return bytes.ToArray();
    }

    private static IEnumerable<Part> Parts(List<Field> fields, string parent = "Model")
    {
        foreach (var field in fields)
        {
            yield return new Part(fields, field, parent);
            foreach (var inner in field.Children is { } children ? Parts(children, field.Message) : [])
                yield return inner;
        }
    }

    private sealed record Part(List<Field> List, Field Field, string Parent);

    private sealed class Field(int number, int wire)
    {
        public int Number = number;
        public readonly int Wire = wire;
        public ulong Varint;
        public byte[]? Fixed;
        public byte[]? Content;
        public string Message = "";
        public List<Field>? Children;

        public Field Copy() => new(Number, Wire)
        {
            Varint = Varint,
            Fixed = Fixed,
            Content = Content,
            Message = Message,
            Children = Children?.Select(c => c.Copy()).ToList(),
        };
    }
}
