"""A cable that delays, loses and reorders packets, or is narrow: as ``tc netem``, where the kernel has none.

It is a process that holds a TUN device in each of two namespaces, and hands the packets of one to the other.
Chance is seeded; each direction has its own queue, as wide as the cable.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from itertools import count

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_MTU = 1500


class Direction:
    """What becomes of the packets that go one way."""

    def __init__(
        self,
        *,
        delay: float = 0.0,
        loss: float = 0.0,
        late: float = 0.0,
        late_by: float = 0.0,
        bits: float = 0.0,
        queue: float = 2.0,
        seed: int = 0,
    ) -> None:
        self._delay, self._loss, self._late, self._late_by = delay, loss, late, late_by
        self._bits = bits  # per second; 0 is as many as come
        self._queue = queue  # seconds of packets that wait for their turn; what is more is dropped
        self._rng = random.Random(seed)
        self._free = 0.0  # when the last bit of what has been taken in is on the cable

    def due(self, size: int, now: float) -> float | None:
        """When a packet comes out at the other end; None if it never does."""
        if self._rng.random() < self._loss:
            return None
        if self._bits:
            if self._free - now > self._queue:
                return None
            self._free = max(self._free, now) + size * 8 / self._bits
            now = self._free
        return now + self._delay + (self._late_by if self._rng.random() < self._late else 0.0)


def device(host: str, address: str, other: str) -> int:
    """Make a device in a namespace; it stays when this process has gone on to the next one."""
    name = b"wire"
    with open(f"/run/netns/{host}", "rb") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"no way into the namespace {host}")
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", name, _IFF_TUN | _IFF_NO_PI))
    subprocess.run(["ip", "addr", "add", address, "peer", other, "dev", "wire"], check=True)
    subprocess.run(["ip", "link", "set", "wire", "up", "mtu", str(_MTU)], check=True)
    return descriptor


def carry(descriptors: list[int], directions: list[Direction]) -> None:
    """Carry packets until standard input ends."""
    waiting: list[tuple[float, int, int, bytes]] = []  # due, order of arrival, where to, the packet
    arrival = count()
    while True:
        left = waiting[0][0] - time.monotonic() if waiting else None
        ready = select.select([0, *descriptors], [], [], None if left is None else max(0.0, left))[0]
        if 0 in ready:
            return
        for descriptor in ready:
            packet = os.read(descriptor, 2 * _MTU)
            here = descriptors.index(descriptor)
            due = directions[here].due(len(packet), time.monotonic())
            if due is not None:
                heapq.heappush(waiting, (due, next(arrival), descriptors[1 - here], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, where, packet = heapq.heappop(waiting)
            os.write(where, packet)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    ends = wanted.pop("ends")
    addresses = [end["address"] for end in ends]
    descriptors = [device(end["host"], *pair) for end, pair in zip(ends, (addresses, addresses[::-1]))]
    print(json.dumps({"told": "laid"}))
    carry(descriptors, [Direction(**wanted, seed=seed) for seed in range(2)])


if __name__ == "__main__":
    main()
