#!/usr/bin/env python3
"""A Dask cluster of HTCondor jobs for `hepvae score --dask` and analysis/coffea_scores.py.

python analysis/htcondor_cluster.py --workers 100            # prints the address of its scheduler; Ctrl-C ends it
hepvae score @files.txt --model conv --dask ADDRESS --output scores.root

A job is one core, 2 GB and one worker with one thread: hepvae then takes one thread inside the runtime. It has its
own certificate for EOS, and Python from the environment that this script runs in, which all machines must see (at
CERN: AFS, EOS or CVMFS). --dry-run prints the submit description of a job and starts nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from dask_jobqueue import HTCondorCluster


def proxy() -> Path | None:
    """The user's grid certificate, which a job needs where EOS asks for one."""
    path = Path(os.environ.get("X509_USER_PROXY", f"/tmp/x509up_u{os.getuid()}"))
    return path if path.is_file() else None


def cluster(options) -> HTCondorCluster:
    """The cluster, without a worker yet."""
    environment = ["export HEPVAE_NUM_THREADS=1"]
    extra = {"+JobFlavour": f'"{options.flavour}"', "MY.SendCredential": "true"}
    certificate = proxy()
    if certificate is not None:
        extra["x509userproxy"] = str(certificate)
    return HTCondorCluster(
        cores=1,
        processes=1,
        memory=options.memory,
        disk=options.disk,
        python=sys.executable,
        job_script_prologue=environment,
        job_extra_directives=extra,
        log_directory=str(options.logs),
        scheduler_options={"port": options.port, "dashboard_address": None},
        worker_extra_args=["--worker-port", options.worker_ports, "--lifetime-stagger", "5m"],
    )


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=10, help="jobs (default 10)")
    parser.add_argument("--memory", default="2 GB", help="of a job")
    parser.add_argument("--disk", default="1 GB", help="of a job")
    parser.add_argument("--flavour", default="longlunch", help="how long a job may take, in CERN's words")
    parser.add_argument("--port", type=int, default=8786, help="of the scheduler (default 8786, as at CERN)")
    parser.add_argument("--worker-ports", default="10000:10100", help="of the workers")
    parser.add_argument("--logs", type=Path, default=Path("condor-logs"))
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted")
    options = parser.parse_args(arguments)

    with cluster(options) as jobs:
        if options.dry_run:
            print(jobs.job_script())
            return 0
        jobs.scale(jobs=options.workers)
        print(jobs.scheduler_address, flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
