#!/usr/bin/env python3
"""Drives every operation the embedded AWS offers with boto3 and the AWS CLI, unmodified.

Usage: tour_test.py BAKELINE [SERVICE...]
"""

import importlib
import pathlib
import re
import sys

from tour.embedded_aws import EmbeddedAws

SERVICES = ("kms", "secretsmanager", "securityhub", "sts", "ssm", "s3", "cloudwatch", "ec2", "ebs", "ecr", "ecs", "elbv2", "lambda", "autoscaling",
            "imagebuilder", "codepipeline")
CODE = pathlib.Path(__file__).resolve().parents[2] / "crates/rehearsal/src/services"


def offered(service):
    """The operations a service's code lists."""
    folder = CODE / service
    source = folder / "mod.rs" if (folder / "mod.rs").exists() else CODE / f"{service}.rs"
    listed = re.search(r"const OPERATIONS: &\[&str\] =\s*&\[(.*?)\];", source.read_text(encoding="utf-8"), re.S)
    return set(re.findall(r'"(\w+)"', listed.group(1)))


def main():
    binary, *wanted = sys.argv[1:]
    failed = []
    for service in wanted or (*SERVICES, "cli"):
        module = importlib.import_module(f"tour.{service}")
        with EmbeddedAws(binary, scenario=getattr(module, "SCENARIO", None)) as aws:
            try:
                module.tour(aws)
                missed = offered(service) - {name for of, name in aws.called if of == service} if service != "cli" else ()
                if missed:
                    raise AssertionError(f"the tour leaves out {sorted(missed)}")
                print(f"{service}: {len(aws.called)} operations")
            except Exception as error:  # noqa: BLE001 - the next service is toured all the same
                import traceback
                where = traceback.extract_tb(error.__traceback__)
                line = next((f for f in reversed(where) if "/tour" in f.filename and "embedded_aws.py" not in f.filename), where[-1])
                failed.append(service)
                print(f"{service}: FAILED at {pathlib.Path(line.filename).name}:{line.lineno}: {type(error).__name__}: {error!s:.800}")
    sys.exit(f"failed: {failed}" if failed else 0)


if __name__ == "__main__":
    main()
