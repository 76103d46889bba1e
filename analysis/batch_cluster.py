#!/usr/bin/env python3
"""A Dask cluster of batch jobs for `hepvae score --dask` and analysis/coffea_scores.py.

python analysis/batch_cluster.py htcondor --workers 100      # prints the address of its scheduler; Ctrl-C ends it
python analysis/batch_cluster.py slurm --workers 100 --queue long --walltime 08:00:00
hepvae score @files.txt --model conv --dask ADDRESS --output scores.root

A job is one core, 2 GB and one worker with one thread: hepvae then takes one thread inside the runtime. It has
Python from the environment that this script runs in, which all machines must see (at CERN: AFS, EOS or CVMFS);
HTCondor's have the user's grid certificate for EOS. --dry-run prints what would be submitted and starts nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from dask_jobqueue import HTCondorCluster, SLURMCluster

#: At CERN the only ports that machines of the batch system reach.
WORKER_PORTS = "10000:10100"


def proxy() -> Path | None:
    """The user's grid certificate, which a job needs where EOS asks for one."""
    path = Path(os.environ.get("X509_USER_PROXY", f"/tmp/x509up_u{os.getuid()}"))
    return path if path.is_file() else None


def htcondor_job(options) -> dict:
    """What only HTCondor is told."""
    directives = {"+JobFlavour": f'"{options.queue or "longlunch"}"', "MY.SendCredential": "true"}
    certificate = proxy()
    if certificate is not None:
        directives["x509userproxy"] = str(certificate)
    return {"disk": options.disk, "job_extra_directives": directives}


def slurm_job(options) -> dict:
    """What only Slurm is told."""
    return {"queue": options.queue, "account": options.account, "walltime": options.walltime}


SYSTEMS = {"htcondor": (HTCondorCluster, htcondor_job), "slurm": (SLURMCluster, slurm_job)}


def cluster(options):
    """The cluster, without a worker yet."""
    kind, job = SYSTEMS[options.system]
    return kind(
        cores=1,
        processes=1,
        memory=options.memory,
        python=sys.executable,
        job_script_prologue=["export HEPVAE_NUM_THREADS=1"],
        log_directory=str(options.logs),
        scheduler_options={"port": options.port, "dashboard_address": None, "host": options.host},
        worker_extra_args=["--worker-port", options.worker_ports, "--lifetime-stagger", "5m"],
        **job(options),
    )


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--workers", type=int, default=10, help="jobs (default 10)")
    parser.add_argument("--memory", default="2 GB", help="of a job")
    parser.add_argument("--queue", help="partition of Slurm; flavour of CERN's HTCondor (default longlunch)")
    parser.add_argument("--account", help="of Slurm")
    parser.add_argument("--walltime", default="02:00:00", help="of Slurm")
    parser.add_argument("--disk", default="1 GB", help="of HTCondor")
    parser.add_argument("--host", help="address at which the machines of the jobs reach this one")
    parser.add_argument("--port", type=int, default=8786, help="of the scheduler (default 8786, as at CERN)")
    parser.add_argument("--worker-ports", default=WORKER_PORTS, help="of the workers")
    parser.add_argument("--logs", type=Path, default=Path("batch-logs"))
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted")
    options = parser.parse_args(arguments)

    with cluster(options) as jobs:
        if options.dry_run:
            print(jobs.job_script())
            return 0
        jobs.adapt(minimum_jobs=options.workers, maximum_jobs=options.workers)  # lost ones are replaced
        print(jobs.scheduler_address, flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
