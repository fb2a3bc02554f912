using System.CommandLine;
using Halo.Io;
using Halo.Models.Tokenizers;
using Halo.Runner.Data;
using Halo.Runner.Inspection;
using Halo.Runner.Sources;
using Spectre.Console;

namespace Halo.Runner.Cli;

/// <summary><c>halo data</c>: what data become before they are trained on.</summary>
internal static class DataVerb
{
    public static Command Command()
    {
        var data = new Argument<string>("DATA") { Description = "Data files, as train takes them: paths and patterns with commas between." };
        var model = new Option<string>("--model", "-m") { Description = "Folder of tokenizer.json and its chat template.", Required = true, HelpName = "FOLDER" };
        var sequence = new Option<int>("--sequence-length")
        {
            Description = "Tokens at which a row is cut.",
            DefaultValueFactory = _ => HuggingFaceSource.DefaultSequence,
            HelpName = "N",
        };
        var format = Choice<DataFormat>.Option("--data-format", "Form of the rows: auto, messages, sharegpt, alpaca, completion or text.");
        var learn = Choice<LearnedTokens>.Option("--learn", "Tokens of a conversation that are learned: answers or all.");
        var shown = new Option<int>("--rows") { Description = "Rows whose tokens are shown, what is learned in colour.", DefaultValueFactory = _ => 3, HelpName = "N" };
        var html = new Option<string?>("--html") { Description = "Also write it as a page to this file.", HelpName = "FILE" };
        var command = new Command("data", "Show what data become before they are trained on: tokens with what is learned of them, lengths, rows that are cut, left out or "
            + "come again, padding, what packing would save, and what to know. Trains nothing.") { data, model, sequence, format, learn, shown, html };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(sequence) < 2)
                throw new HaloException("data", "--sequence-length", "at least 2", $"{parsed.GetValue(sequence)}", "Give another.");
            if (parsed.GetValue(shown) < 0)
                throw new HaloException("data", "--rows", "0 or more", $"{parsed.GetValue(shown)}", "Give another.");
            var page = parsed.GetValue(html) is { } path ? Path.GetFullPath(path) : null;
            var folder = parsed.GetValue(model)!;
            Outputs.Check("data", [("--html", page)], [folder, .. DataFiles.Named(parsed.GetValue(data))]);
            var tokenizer = HfTokenizer.Load(folder);
            var rows = ChatDataset.Load(parsed.GetValue(data)!, tokenizer, new RowSettings(parsed.GetValue(format), parsed.GetValue(learn)), parsed.GetValue(sequence));
            Show(rows, tokenizer, parsed.GetValue(shown), page);
            return ExitCode.Done;
        });
        return command;
    }

    private static void Show(ChatDataset data, HfTokenizer tokenizer, int shown, string? page)
    {
        var report = DataReport.Of(data);
        var rows = Enumerable.Range(0, Math.Min(shown, data.Rows.Count)).Select(i => ShownRow.Of(data.PlaceOfCut(i), data.Rows[i], tokenizer)).ToList();
        var inColour = AnsiConsole.Profile.Capabilities.Ansi && AnsiConsole.Profile.Capabilities.ColorSystem != ColorSystem.NoColors && !Console.IsOutputRedirected;
        foreach (var row in rows)
        {
            Console.WriteLine($"{row.Place} ({row.Tokens.Count} tokens, {row.Tokens.Count(t => t.IsLearned)} learned)");
            if (inColour)
                AnsiConsole.MarkupLine(DataText.Row(row, inColour));
            else
                Console.WriteLine(DataText.Row(row, inColour));
            Console.WriteLine();
        }
        foreach (var line in DataText.Lines(report))
            Console.WriteLine(line);
        if (page is null)
            return;
        AtomicFile.WriteText(page, DataPage.Render(report, rows));
        Console.WriteLine(page);
    }
}
