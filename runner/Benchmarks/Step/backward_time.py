#!/usr/bin/env python3
"""The forward part, the loss and the backward part of an update, from a trace of kernel_trace.so: backward_time.py TRACE

A line of JSON, ms, medians over all updates but the first two: forward (from the update before to the loss's first kernel), loss (to its last; the products
of the head and of its gradient lie between), backward (to the first kernel of the gradient norm or of AdamW), update (to the next forward part).
"""
import json
import re
import statistics
import sys

LOSS, UPDATE = re.compile("cross_entropy"), re.compile("square_sum|adam_w|weighted_sum")
events = []
with open(sys.argv[1]) as file:
    for line in file:
        parts = line.rstrip("\n").split("\t", 3)
        if len(parts) == 4:
            events.append((int(parts[0]), int(parts[1]), parts[3]))
events.sort()
updates, now, ended = [], None, None
for start, end, name in events:
    if LOSS.search(name):
        if now is None or "updated" in now:  # the loss of the next update
            if now is not None:
                updates.append(now | dict(next=ended))
            now = dict(begin=ended if now is not None else start, loss=start)
        now["behind"] = end
    elif now is not None and UPDATE.search(name):
        now.setdefault("updated", start)
        ended = end
updates = updates[2:]
if not updates:
    sys.exit("fewer than four updates with kernels of cross_entropy and of the optimizer")
parts = dict(forward=("begin", "loss"), loss=("loss", "behind"), backward=("behind", "updated"), update=("updated", "next"))
print(json.dumps({part: round(statistics.median(u[last] - u[first] for u in updates) / 1e6, 2) for part, (first, last) in parts.items()} | dict(updates=len(updates))))
