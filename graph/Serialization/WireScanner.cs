namespace Halo.Serialization;

/// <summary>Walks the fields of one protobuf message without parsing what is inside them.</summary>
/// <remarks>Generated parsers copy every byte field; this lets the reader step over the content of weights. [protobuf encoding specification]</remarks>
internal ref struct WireScanner(ReadOnlySpan<byte> message)
{
    private readonly ReadOnlySpan<byte> _message = message;
    private int _at = 0;

    public int Field { get; private set; }

    /// <summary>The field as it stands in the message: tag, length and content.</summary>
    public Range Whole { get; private set; }

    /// <summary>The content of a length-delimited field; the bytes of the number otherwise.</summary>
    public Range Content { get; private set; }

    public bool IsLengthDelimited { get; private set; }

    /// <exception cref="InvalidDataException">The bytes are no protobuf message.</exception>
    public bool Next()
    {
        if (_at == _message.Length)
            return false;
        var start = _at;
        var tag = Varint();
        Field = checked((int)(tag >> 3));
        if (Field == 0)
            throw new InvalidDataException("a field has the number 0");
        IsLengthDelimited = (tag & 7) == 2;
        var contentStart = _at;
        switch (tag & 7)
        {
            case 0:
                Varint();
                break;
            case 1:
                Skip(8);
                break;
            case 2:
                var length = Varint();
                contentStart = _at;
                Skip(length);
                break;
            case 5:
                Skip(4);
                break;
            default:
                throw new InvalidDataException($"a field has the unknown wire type {tag & 7}");
        }
        Content = contentStart.._at;
        Whole = start.._at;
        return true;
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (_at == _message.Length)
                throw new InvalidDataException("the message ends inside a number");
            var b = _message[_at++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
                return value;
        }
        throw new InvalidDataException("a number is longer than 64 bits");
    }

    private void Skip(ulong count)
    {
        if (count > (ulong)(_message.Length - _at))
            throw new InvalidDataException($"a field of {count} bytes has only {_message.Length - _at}");
        _at += (int)count;
    }
}
