"""Slurm on this machine alone: a controller and one node, until the block ends."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hepvae.bench.xrootd_server import free_port

__all__ = ["slurm"]

PROGRAMS = ("munged", "slurmctld", "slurmd")
START_S = 30

CONFIG = """\
ClusterName=hepvae
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@contextmanager
def _runs(command: list[object], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with open(log, "wb") as file:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def slurm() -> Iterator[Path]:
    """Skips the test where Slurm is absent or cannot run; ``SLURM_CONF`` has to be what it yields."""
    programs = {name: _program(name) for name in PROGRAMS}
    absent = [name for name, path in programs.items() if path is None]
    if absent:
        pytest.skip(f"no {', '.join(absent)}: apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="hepvae-slurm-") as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)
        munge = folder / "munge"
        for inside, mode in (("munge", 0o711), ("state", 0o700), ("spool", 0o755)):
            (folder / inside).mkdir()
            (folder / inside).chmod(mode)
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o600)
        options = [f"--{kind}-file={munge / kind}" for kind in ("key", "pid", "log", "seed")]
        running.enter_context(
            _runs(
                [programs["munged"], "--foreground", "--force", f"--socket={munge / 'socket'}", *options],
                folder / "munged",
            )
        )
        host = socket.gethostname().partition(".")[0]
        values = {"host": host, "folder": folder, "user": getpass.getuser(), "ports": [free_port(), free_port()]}
        config = folder / "slurm.conf"
        config.write_text(CONFIG.format(**values))
        # The plugin is opened even where nothing uses it; that of version 2 asks for systemd.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        daemons = [
            running.enter_context(_runs([programs[one], "-D", "-f", config], folder / one)) for one in PROGRAMS[1:]
        ]
        environment = {**os.environ, "SLURM_CONF": str(config)}

        def ask(*command: str) -> str:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
            return done.stdout

        deadline = time.monotonic() + START_S
        while "idle" not in ask("sinfo", "--noheader", "--format=%t"):
            if time.monotonic() > deadline or any(one.poll() is not None for one in daemons):
                said = {one: (folder / one).read_text().splitlines()[-3:] for one in PROGRAMS}
                pytest.skip(f"Slurm does not run here: {said}")
            time.sleep(0.2)
        try:
            yield config
        finally:
            ask("scancel", "--signal=KILL", f"--user={getpass.getuser()}")
            ask("scancel", f"--user={getpass.getuser()}")
            deadline = time.monotonic() + START_S
            while ask("squeue", "--noheader") and time.monotonic() < deadline:
                time.sleep(0.2)
