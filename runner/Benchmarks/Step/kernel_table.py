#!/usr/bin/env python3
"""Where an update's time goes, from a trace of kernel_trace.so: kernel_table.py TRACE [MARK] [ROWS]

MARK is part of the name of a kernel that runs once an update (cross_entropy): an update reaches from one of its starts to the next; the median of all but the
first two updates by length is shown. Busy is the time in which anything ran on the device, idle the rest.
"""
import collections
import json
import re
import subprocess
import sys

mark, count = sys.argv[2] if len(sys.argv) > 2 else "cross_entropy_rows", int(sys.argv[3]) if len(sys.argv) > 3 else 45
events = []
with open(sys.argv[1]) as f:
    for line in f:
        parts = line.rstrip("\n").split("\t", 3)
        if len(parts) == 4:
            events.append((int(parts[0]), int(parts[1]), parts[3]))
events.sort()
names = sorted({name for _, _, name in events})
plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True).stdout.split("\n")
short = {n: re.sub(r"\(.*", "", re.sub(r"halo::|cuda::|\(anonymous namespace\)::|void ", "", p))[:150] for n, p in zip(names, plain)}
starts = [i for i, (_, _, name) in enumerate(events) if mark in short[name]]
updates = sorted((events[b][0] - events[a][0], a, b) for a, b in list(zip(starts, starts[1:]))[2:])
if not updates:
    sys.exit(f"fewer than four kernels called {mark}: {collections.Counter(short.values()).most_common(60)}")
length, first, last = updates[len(updates) // 2]
time, calls, busy, until = collections.Counter(), collections.Counter(), 0, 0
for start, end, name in events[first:last]:
    time[short[name]] += end - start
    calls[short[name]] += 1
    busy += max(0, end - max(start, until))
    until = max(until, end)
print(json.dumps(dict(figure="update", ms=round(length / 1e6, 3), busy_ms=round(busy / 1e6, 3), idle_share=round(1 - busy / length, 4),
                      kernels=sum(calls.values()), updates=len(updates))))
for name, ns in time.most_common(count):
    print(f"{ns / 1e6:9.3f} {calls[name]:5d} {name}")
