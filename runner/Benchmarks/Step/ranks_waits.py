#!/usr/bin/env python3
"""Where ranks wait for collectives: ranks_waits.py TRACE [LAST [TOP]], of the files TRACE.0, TRACE.1 .. that HALO_COLLECTIVE_TRACE=TRACE had ranks write.

The last LAST (8) times that each node ran are taken, so that the first updates, in which libraries are set up, do not count. First a line for each rank, in ms an
update: how long collectives ran and were waited for. Then what all ranks wait for, the least of the ranks node by node: the links' time that nothing hides. The
rest of a rank's waits is for ranks that come later than it: a GPU that is slower, or has more to do. Then the TOP (20) nodes by waits, with each rank's wait and
the time of the collective on rank 0. An update is as many collectives as rank 0 has nodes.
"""
import collections
import os
import statistics
import sys

trace, last, top = sys.argv[1], int((sys.argv[2:] or ["8"])[0]), int((sys.argv[3:] or ["20"])[0])


def read(path):
    """By node: operator, bytes, and of each time (ran, waited)."""
    nodes = collections.OrderedDict()
    with open(path) as f:
        next(f)
        for line in f:
            parts = line.rstrip("\n").split("\t")
            if len(parts) != 8:  # the run was killed there
                continue
            begin, end, wait_begin, wait_end = map(float, parts[4:])
            nodes.setdefault((parts[1], parts[2]), (int(parts[3]), []))[1].append((end - begin, wait_end - wait_begin))
    return nodes


ranks = []
while os.path.exists(f"{trace}.{len(ranks)}"):
    ranks.append(read(f"{trace}.{len(ranks)}"))
if not ranks or not ranks[0]:
    sys.exit(f"expected collectives in {trace}.0, found none. Run ranks on GPUs with --rank-carrier copies or nccl and HALO_COLLECTIVE_TRACE={trace}.")


def median(rank, node, part):
    times = rank[node][1][-last:] if node in rank else []
    return statistics.median(t[part] for t in times) if times else 0.0


nodes = list(ranks[0])
waits = {node: [median(rank, node, 1) for rank in ranks] for node in nodes}
for number, rank in enumerate(ranks):
    print(f"rank {number}: {len(rank)} collectives an update, {sum(median(rank, n, 0) for n in rank):.2f} ms they ran, "
          f"{sum(median(rank, n, 1) for n in rank):.2f} ms waited for")
print(f"all ranks wait {sum(min(w) for w in waits.values()):.2f} ms; the rest is for a rank that comes later")
kinds = collections.Counter()
for (operator, _), w in waits.items():
    kinds[operator] += max(w)
for operator, ms in kinds.most_common():
    print(f"  {operator}: {ms:.2f} ms, of each node the rank that waits longest")
print("wait of each rank, ms\tran, ms\tMiB\tnode")
for node in sorted(nodes, key=lambda n: -max(waits[n]))[:top]:
    print("\t".join([" ".join(f"{w:.3f}" for w in waits[node]), f"{median(ranks[0], node, 0):.3f}", f"{ranks[0][node][0] / 2**20:.2f}", f"{node[0]} {node[1]}"]))
