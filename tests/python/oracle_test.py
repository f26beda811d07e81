#!/usr/bin/env python3
"""Runs the same scripts on the embedded AWS and on moto and ministack, each in a process of its own.

Usage: oracle_test.py BAKELINE [--report FILE] [moto|ministack]

Every difference must be in DIFFERENCES with the reason why the embedded AWS is right; one that is there no longer
fails as well.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from oracle import scripts
from oracle.differences import DIFFERENCES
from oracle.recorder import Recorder
from tour.embedded_aws import EmbeddedAws

BIN = pathlib.Path(sys.executable).parent


class Emulator:
    """An emulator on a free port."""

    def __init__(self, name):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        command = {
            "moto": [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            "ministack": [BIN / "ministack"],
        }[name]
        environment = {**os.environ, "GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1",
                       "HOME": self.folder.name, "AWS_DEFAULT_REGION": "eu-west-1", "PERSIST_STATE": "0"}
        self.process = subprocess.Popen(command, env=environment, cwd=self.folder.name, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.settings = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "test",
                         "AWS_SECRET_ACCESS_KEY": "test"}

    def __enter__(self):
        for _ in range(600):
            try:
                urllib.request.urlopen(self.settings["AWS_ENDPOINT_URL"], timeout=5)
                return self
            except urllib.error.HTTPError:
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the emulator did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.folder.cleanup()


def played(script, settings):
    recorder = Recorder(settings)
    script(recorder)
    return recorder


def main():
    binary, *wanted = sys.argv[1:]
    report = wanted[1] if wanted[:1] == ["--report"] else None
    wanted = wanted[2:] if report else wanted
    wrong, steps, listed, compared = [], 0, 0, {}
    for name, plan in (("moto", scripts.MOTO), ("ministack", scripts.MINISTACK)):
        if wanted and name not in wanted:
            continue
        for script in plan:
            with EmbeddedAws(binary) as aws, Emulator(name) as emulator:
                mine = played(script, aws.settings)
                ours, theirs = mine.seen, played(script, emulator.settings).seen
            for service, operation in mine.called:
                compared.setdefault(service, {}).setdefault(operation, set()).add(name)
            known = DIFFERENCES.get((name, script.__name__), {})
            for step in dict.fromkeys([*ours, *theirs]):
                steps += 1
                same = ours.get(step) == theirs.get(step)
                if not same and step not in known:
                    wrong.append(f"{name} {script.__name__}: {step}: ours {ours.get(step)}, theirs {theirs.get(step)}")
                elif same and step in known:
                    wrong.append(f"{name} {script.__name__}: {step}: listed as a difference, but both {ours.get(step)}")
                listed += step in known
            wrong += [f"{name} {script.__name__}: no step {step}" for step in known if step not in ours]
    if report:
        plain = {service: {name: sorted(by) for name, by in of.items()} for service, of in compared.items()}
        pathlib.Path(report).write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{steps} steps compared, {listed} of them differ for a documented reason, {len(wrong)} are wrong")
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
