namespace Halo.Tests.Numerics;

/// <summary>How far results may lie apart, and why. Relative errors of whole tensors (<see cref="RelativeError"/>) where nothing else is said.</summary>
/// <remarks>
/// float32 rounds to 2^-24 = 6e-8, float16 to 2^-11 = 5e-4, bfloat16 to 2^-8 = 4e-3. Roundings of n sums add up as sqrt(n); a graph of two or three blocks has a
/// few hundred between a loss and the gradient of its embedding. A new tolerance comes with its reason; one that grows is a change to explain.
/// </remarks>
public static class Tolerances
{
    /// <summary>One operator or one transform: a few sums, each of some hundred terms in float32.</summary>
    public const double OneOperator = 1e-6;

    /// <summary>A rotary embedding and back: cos^2 + sin^2 of rounded tables, and four roundings.</summary>
    public const double RotaryEmbedding = 5e-7;

    /// <summary>Forward passes that differ in the order of a few sums: folded scales, free shapes, a table computed in float32.</summary>
    public const double FewSums = 2e-6;

    /// <summary>The same training graph here and in PyTorch: every sum in an order of its own, no operator another.</summary>
    public const double SameGraph = 5e-6;

    /// <summary>The same loss or gradient from other operators: another exporter's, fused ones, a rotation undone.</summary>
    public const double OtherOperators = 1e-5;

    /// <summary>Parameters after a few updates of AdamW, which divides by the root of a moment.</summary>
    public const double AfterUpdates = 2e-5;

    /// <summary>Gradients of raw graphs on a GPU: long chains of ONNX's plain operators, sums in the GPU's order.</summary>
    public const double RawGradientOnGpu = 1e-4;

    /// <summary>Weights rotated online in groups: each product turned there and back, on both operands.</summary>
    public const double RotatedTwice = 1e-4;

    /// <summary>A matrix times its inverse, of some hundred columns, by float32 elimination; of the largest element.</summary>
    public const double Elimination = 1e-4;

    /// <summary>bfloat16 graphs: every value rounded to 2^-8, of which a step keeps a few roundings.</summary>
    public const double BFloat16Graph = 2e-2;

    /// <summary>float16 activations, rounded at other places than in the graph beside it.</summary>
    public const double Float16Graph = 1e-2;

    /// <summary>One operator in float16: two or three roundings to 2^-11.</summary>
    public const double Float16Operator = 2e-3, Float16Norm = 1e-3;

    /// <summary>Losses, absolute, of runs that begin alike: last bits differ and updates let them grow.</summary>
    public const double LossesOfTraining = 1e-4;

    /// <summary>Losses, absolute, of twenty updates beside PyTorch's AdamW.</summary>
    public const double TwentyUpdates = 5e-4;

    /// <summary>A loss, absolute, beside that of rows padded to another length.</summary>
    public const double OtherPadding = 2e-4;

    /// <summary>Mean losses, absolute, after two epochs from gradients of other operators.</summary>
    public const double LossesAfterEpochs = 2e-2;

    /// <summary>A mean loss, absolute: float32 logits summed in float64.</summary>
    public const double MeanLoss = 1e-5;

    /// <summary>Logits, absolute, of sizes up to 20, by a graph of a few blocks.</summary>
    public const double Logits = 1e-3;

    /// <summary>Sums of squares over a file's tokens in float32, of 1 plus the value.</summary>
    public const double Moments = 1e-3;

    /// <summary>A loss whose products read equal codes: float32 sums in another order, rounded once to float32.</summary>
    public const double EqualCodes = 1e-7;

    /// <summary>A loss where a code flips here and there: of graphs of 72 tokens one weighs much, of a weight it reaches every token.</summary>
    public const double FlippedCodes = 1e-4, FlippedCodesFp6 = 2e-4, FlippedCodesOfWeights = 2e-3;

    /// <summary>Gradients that read the same codes in a graph of other operators: a few flip.</summary>
    public const double SameCodesOtherOperators = 1e-3;

    /// <summary>Gradients of rotated graphs under different flips: a code that rounds the other way is a step of the format.</summary>
    public const double FlippedCodesOfRotations = 0.1;

    /// <summary>
    /// The share of elements whose x / scale is a tie up to rounding, where codes may differ, by one step. A rotation rounds sums of its row as well, so that
    /// more of them cross a tie.
    /// </summary>
    public const double Ties = 1e-5, TiesOfRotated = 1e-4;

    /// <summary>Products of FP8 operands beside float32's: two operands of 3 mantissa bits are off by 0.026 sqrt 2, and twice that is a fault.</summary>
    public const double Fp8Products = 0.06;

    /// <summary>A loss of 8-bit products, of a graph of two or three blocks, beside float32's.</summary>
    public const double LossOfCodes = 0.01;

    /// <summary>Products of codes as doctor multiplies them: 2 to 7 bits of mantissa, twice.</summary>
    public const double ProductsOfCodes = 0.1;

    /// <summary>Gradients of a scale, of 1 or the largest code: sums over a block of differences that nearly cancel, in float32.</summary>
    public const double ScaleGradient = 1e-4;

    /// <summary>Products of rotated operands of 704 columns, absolute: sums of about 30.</summary>
    public const double RotatedProduct = 1e-3;

    /// <summary>Elements, absolute, where a rotary table of float32 angles is up to 1000 turns on.</summary>
    public const double RotaryAngle = 2e-4;

    /// <summary>A search whose errors float32 sums: of the least error, found in float64.</summary>
    public const double Search = 1e-3;

    /// <summary>float64 beside float64: some ten roundings of 2^-53 of values up to 1.</summary>
    public const double Float64 = 1e-12;

    /// <summary>float64 beside float64, one or two roundings of values below 1.</summary>
    public const double OneFloat64 = 1e-15;

    /// <summary>float64 beside float64 over sums of some thousand terms.</summary>
    public const double Float64Sums = 1e-9;

    /// <summary>A slope by central differences of a float32 function, of the slope, plus what the losses' rounding leaves of a small one.</summary>
    public const double Slope = 1e-2, SlopeRounding = 1e-4;
}
