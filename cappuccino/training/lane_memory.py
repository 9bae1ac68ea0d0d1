"""How many lanes a device holds, from the compiler's own account of its memory, before anything runs."""

from __future__ import annotations

import functools
import math
import os
import pathlib
from typing import NamedTuple

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from cappuccino.errors import InputError
from cappuccino.market import Market
from cappuccino.mesh import AXIS, mesh_of
from cappuccino.training.lanes import Lane, LaneProgram, begin, lanes_chunk

SHARE = 0.8
"""Of a device's memory that is planned with; the rest is for the refilling of lanes, for fragments and for others."""


class LaneBytes(NamedTuple):
    """Bytes on one device: `fixed` whatever the number of lanes (the market table, what lanes in progress compute with), `lane`
    for each."""

    fixed: int
    lane: int

    def needed(self, lanes: int) -> int:
        return self.fixed + lanes * self.lane


def measure_lane(program: LaneProgram, lane: Lane, market: Market) -> LaneBytes:
    """The line through what two and three batches of lanes need, a batch being those that a device computes together.

    Compiles the chunk for both: arguments, results that are not written over arguments, and temporaries
    (`Compiled.memory_analysis`). Not for one: a loop over a single batch is unrolled, and needs its memory in another way.
    """
    two, three = (_bytes_of(program, lane, market, batches * program.at_once) for batches in (2, 3))
    return LaneBytes(fixed=3 * two - 2 * three, lane=math.ceil((three - two) / program.at_once))


def lanes_that_fit(found: LaneBytes, mesh: Mesh | AbstractMesh, *, requested: int | None, memory: int | None = None) -> int:
    """`requested` lanes if the devices of `mesh` hold them, or as many as they do where it is None.

    memory: bytes a device has; None asks the device, or for a CPU the system, whose memory its devices share. Raises InputError
    with the numbers where not even one lane a device fits, or not as many as were requested.
    """
    if memory is None:
        assert isinstance(mesh, Mesh)
        memory = device_memory(mesh)
    planned = int(SHARE * memory)
    most = mesh.size * max(0, (planned - found.fixed) // found.lane)
    wanted = most if requested is None else requested
    if 0 < wanted <= most:
        return wanted
    each = math.ceil(max(wanted, 1) / mesh.size)
    raise InputError(
        f"{each} lanes on each of {mesh.size} devices need {_gib(found.needed(each))} ({_gib(found.lane)} a lane, "
        f"{_gib(found.fixed)} whatever their number); {_gib(planned)} can be used, which is enough for {most} lanes"
    )


def device_memory(mesh: Mesh) -> int:
    """Bytes that a device of `mesh` can use now."""
    device = mesh.devices.flat[0]
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return _available() // mesh.size


def _available() -> int:
    meminfo = pathlib.Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        return 1024 * int(fields["MemAvailable"].split()[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes_of(program: LaneProgram, lane: Lane, market: Market, lanes: int) -> int:
    mesh = mesh_of(jax.devices()[:1])
    spread = NamedSharding(mesh, PartitionSpec(AXIS))
    one = jax.eval_shape(functools.partial(begin, program.learner), lane, market)
    many = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((lanes, *leaf.shape), leaf.dtype, sharding=spread), one)
    analysis = lanes_chunk.lower(many, market, program=program, mesh=mesh).compile().memory_analysis()
    if analysis is None:
        raise InputError(f"the compiler of {jax.devices()[0].platform} says nothing of memory; give the number of lanes")
    return (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
        + analysis.temp_size_in_bytes
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
