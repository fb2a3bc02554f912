#!/usr/bin/env python3
"""What an update of ranks takes beyond one GPU's, by cause, from traces of kernel_trace.so: ranks_split.py ONE RANK [MARK] [ROWS]

ONE is the trace of a run of one GPU, RANK that of one of several ranks with as many rows. MARK is part of the name of a kernel that runs once an update
(sort_entries, of the embedding): an update reaches from one of its starts to the next; the median by length of all but the first two is taken, as in kernel_table.py.

The first line, in ms. Kernels of the two updates are compared by name: `longer` is what calls that both have take more, `more` what calls take that ranks alone
have, `fewer` that of calls which one GPU alone has. The rest is time in which no kernel of the rank's own stream runs: `waits` while a collective runs, `idle`
while none does, `idle_one` the same of one GPU. So ms = ms_one + longer + more - fewer + waits + idle - idle_one, but for kernels of one stream that overlap.
Then `collectives`, the time in which a kernel of NCCL, a copy or a sum of another stream runs, and names by difference: ms, calls, ms and calls of one GPU.
"""
import collections
import json
import re
import subprocess
import sys


def events_of(path):
    """(start, end, stream, name) of each kernel, in ns."""
    with open(path) as lines:
        parts = [line.rstrip("\n").split("\t", 3) for line in lines]
    found = sorted((int(p[0]), int(p[1]), int(p[2]), p[3]) for p in parts if len(p) == 4)
    names = sorted({name for *_, name in found})
    plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.split("\n")
    short = {n: re.sub(r"\(.*", "", re.sub(r"halo::|cuda::|\(anonymous namespace\)::|void ", "", p))[:110] for n, p in zip(names, plain)}
    return [(start, end, stream, short[name]) for start, end, stream, name in found]


def update_of(events, mark):
    """Events of the median update, and where it begins and ends."""
    if not events:
        sys.exit("expected a trace with kernels, found none: see what kernel_trace.so wrote to standard error.")
    starts = [start for start, _, _, name in events if mark in name]
    updates = sorted((b - a, a, b) for a, b in list(zip(starts, starts[1:]))[2:])
    if not updates:
        sys.exit(f"expected four kernels called {mark} or more, found {len(starts)}. Let the traced run go on for more updates.")
    _, begin, end = updates[len(updates) // 2]
    return [event for event in events if begin <= event[0] < end], begin, end


def union(spans):
    """Spans without overlaps, in order."""
    joined = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([start, end])
    return joined


def length(spans):
    return sum(end - start for start, end in spans)


def overlap(these, others):
    """How long spans of both, each without overlaps of its own, run at once."""
    total = at = 0
    for start, end in these:
        while at < len(others) and others[at][1] <= start:
            at += 1
        i = at
        while i < len(others) and others[i][0] < end:
            total += min(end, others[i][1]) - max(start, others[i][0])
            i += 1
    return total


def counted(events):
    time, calls = collections.Counter(), collections.Counter()
    for start, end, _, name in events:
        time[name] += end - start
        calls[name] += 1
    return time, calls


def split(one, rank, mark):
    """The line of figures, and names by difference."""
    (events_one, *span_one), (events, begin, end) = update_of(one, mark), update_of(rank, mark)
    stream = next(stream for *_, stream, name in events if mark in name)
    own, others = [e for e in events if e[2] == stream], [e for e in events if e[2] != stream]
    busy, beside = union((s, min(e, end)) for s, e, *_ in own), union((s, min(e, end)) for s, e, *_ in others)
    gaps = [(a, b) for a, b in zip([begin, *(e for _, e in busy)], [*(s for s, _ in busy), end]) if b > a]
    (time, calls), (time_one, calls_one) = counted(own), counted(events_one)
    longer = more = fewer = 0.0
    for name in time | time_one:
        both = min(calls[name], calls_one[name])
        mean, mean_one = time[name] / max(1, calls[name]), time_one[name] / max(1, calls_one[name])
        longer += both * (mean - mean_one)
        more += (calls[name] - both) * mean
        fewer += (calls_one[name] - both) * mean_one
    waits, ms = overlap(gaps, beside), 1e-6
    idle_one = span_one[1] - span_one[0] - length(union((s, min(e, span_one[1])) for s, e, *_ in events_one))
    figures = dict(ms=end - begin, ms_one=span_one[1] - span_one[0], longer=longer, more=more, fewer=fewer, waits=waits, idle=length(gaps) - waits, idle_one=idle_one,
                   collectives=length(beside), collectives_beside_kernels=length(beside) - waits)
    rows = sorted(((time[n] - time_one[n], n) for n in time | time_one), key=lambda row: -abs(row[0]))
    time_beside, calls_beside = counted(others)
    return (dict(figure="split", **{k: round(v * ms, 3) for k, v in figures.items()}, kernels=len(own), kernels_one=len(events_one)),
            [(d * ms, time[n] * ms, calls[n], time_one[n] * ms, calls_one[n], n) for d, n in rows],
            [(t * ms, calls_beside[n], n) for n, t in time_beside.most_common(12)])


def main():
    mark, count = sys.argv[3] if len(sys.argv) > 3 else "sort_entries", int(sys.argv[4]) if len(sys.argv) > 4 else 40
    figures, rows, beside = split(events_of(sys.argv[1]), events_of(sys.argv[2]), mark)
    print(json.dumps(figures))
    for time, calls, name in beside:
        print(f"beside    {time:9.3f} {calls:5d}  {name}")
    for difference, time, calls, time_one, calls_one, name in rows[:count]:
        print(f"{difference:+9.3f} {time:9.3f} {calls:5d} {time_one:9.3f} {calls_one:5d}  {name}")


if __name__ == "__main__":
    main()
