"""A Slurm cluster on loopback: one controller and one node, started and ended by a test."""

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
_WHERE = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))

# linuxproc and none: neither control groups nor their rights are needed. cred_expire: a job that is queued
# again waits for so long.
_CONFIGURATION = """ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
KillWait=2
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Return the programs of Slurm and munge that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=_WHERE) is None]


class Cluster:
    """A running cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _WHERE}

    def run(self, *words: object, cwd: Path | None = None, **environment: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        ended = subprocess.run(
            [*map(str, words)],
            cwd=cwd,
            env=os.environ | self.environment | environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, (words, ended.stderr, self.logs())
        return ended.stdout.strip()

    def state(self, job: str) -> dict[str, str]:
        """Return what the controller knows of a job, by the names of scontrol."""
        words = self.run("scontrol", "show", "job", "--oneliner", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: str, *states: str, seconds: float = 120) -> dict[str, str]:
        """Wait until a job is in one of the states."""
        end = time.monotonic() + seconds
        while (found := self.state(job))["JobState"] not in states:
            assert time.monotonic() < end, (found, self.logs())
            time.sleep(0.2)
        return found

    def logs(self) -> str:
        """Return the ends of the logs."""
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log"))


@contextmanager
def started_cluster() -> Iterator[Cluster]:
    """Start munge, a controller and a node in a temporary folder, for the block."""
    # Not pytest's folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        for below in ("state", "spool"):
            (folder / below).mkdir()
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            ports = one.getsockname()[1], other.getsockname()[1]
        host = socket.gethostname().partition(".")[0]
        text = _CONFIGURATION.format(host=host, user=getpass.getuser(), folder=folder, ports=ports)
        (folder / "slurm.conf").write_text(text)
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
        (folder / "munge.key").chmod(0o400)
        cluster = Cluster(folder)
        files = [f"--{what}={folder}/munge.{end}" for what, end in _MUNGE_FILES.items()]
        daemons = [["munged", "--foreground", "--force", *files], ["slurmctld", "-D", "-i"], ["slurmd", "-D"]]
        processes = []
        try:
            for words in daemons:
                with (folder / f"{words[0]}.out.log").open("wb") as out:
                    processes.append(
                        subprocess.Popen(
                            words, env=os.environ | cluster.environment, stdout=out, stderr=subprocess.STDOUT
                        )
                    )
                if words[0] == "munged":
                    _wait(lambda: (folder / "munge.socket").exists(), cluster)
            _wait(lambda: "idle" in _node_state(cluster), cluster)
            yield cluster
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


_MUNGE_FILES = {
    "key-file": "key",
    "socket": "socket",
    "pid-file": "pid",
    "log-file": "log",
    "seed-file": "seed",
}


def _node_state(cluster: Cluster) -> str:
    ended = subprocess.run(
        ["sinfo", "-h", "-o", "%t"], env=os.environ | cluster.environment, capture_output=True, text=True
    )
    return ended.stdout


def _wait(condition, cluster: Cluster, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, cluster.logs()
        time.sleep(0.1)
