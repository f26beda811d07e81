#!/usr/bin/env python3
"""Holds pipeline/, buildspec.yml and the container file against each other and against what the code in src/ calls.

Every IAM statement says what it is for; none allows a whole service; the worker's role allows each operation the code
calls, and no other. The buildspec's commands are run in a plain shell, with a stand-in for the binary.

    python3 tests/python/templates_test.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

ROOT = Path(os.environ.get("BAKELINE_ROOT", Path(__file__).resolve().parents[2]))
TEMPLATES = sorted((ROOT / "pipeline").glob("*.yaml"))

# The SDK's clients as the code names them, and the service as IAM names it.
CLIENTS = {
    "autoscaling": "autoscaling",
    "cloudwatch": "cloudwatch",
    "codepipeline": "codepipeline",
    "ebs": "ebs",
    "ebs_in": "ebs",
    "ec2": "ec2",
    "ec2_in": "ec2",
    "ecr": "ecr",
    "ecr_in": "ecr",
    "ecs": "ecs",
    "elbv2": "elasticloadbalancing",
    "imagebuilder": "imagebuilder",
    "kms": "kms",
    "lambda": "lambda",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "securityhub": "securityhub",
    "ssm": "ssm",
    "sts": "sts",
}
SERVICES = set(CLIENTS.values())

# S3's permissions are not named as its operations are.
S3_PERMISSIONS = {
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CopyObject": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:UploadPart": "s3:PutObject",
}

# Where code runs under another identity than the worker's role: what a person runs, and the AWS that is embedded.
NOT_THE_WORKER = ("cli", "doctor", "rehearsal")

# Artifacts are read and written under the job's own credentials, which CodePipeline cuts from the pipeline's role.
UNDER_JOB_CREDENTIALS = ("artifact", "stage")

# Called only when the worker is told to sign with a secret, which the templates do not do.
NOT_IN_THE_TEMPLATES = {
    "ec2:DeleteLaunchTemplateVersions": "bakeline reap --template-versions, run by a person",
    "ec2:ListImagesInRecycleBin": "bakeline cleanup undo, run by a person",
    "ec2:ListSnapshotsInRecycleBin": "bakeline cleanup undo, run by a person",
    "ec2:RestoreImageFromRecycleBin": "bakeline cleanup undo, run by a person",
    "ec2:RestoreSnapshotFromRecycleBin": "bakeline cleanup undo, run by a person",
    "ecr:ListImages": "bakeline reap --records, run by a person",
    "imagebuilder:DeleteComponent": "bakeline reap --records, run by a person",
    "imagebuilder:DeleteContainerRecipe": "bakeline reap --records, run by a person",
    "imagebuilder:DeleteImage": "bakeline reap --records, run by a person",
    "imagebuilder:DeleteImageRecipe": "bakeline reap --records, run by a person",
    "imagebuilder:ListComponents": "bakeline reap --records, run by a person",
    "secretsmanager:GetSecretValue": "--signing-key secretsmanager:ARN; the templates sign with KMS",
}

# Allowed although no code of ours makes the call.
ON_BEHALF = {
    "ecs:TagResource": "ECS checks it for RegisterTaskDefinition and RunTask with tags",
    "iam:PassRole": "EC2 and Auto Scaling check it for the roles in instance profiles",
    "imagebuilder:GetDistributionConfiguration": "Image Builder checks it for CreateImage",
    "imagebuilder:GetInfrastructureConfiguration": "Image Builder checks it for CreateImage",
    "inspector2:BatchGetAccountStatus": "Image Builder checks it for CreateImage of a build that is scanned",
    "inspector2:ListFindings": "Image Builder checks it for ListImageScanFindings",
    "imagebuilder:GetImagePipeline": "Image Builder checks it for StartImagePipelineExecution",
    "imagebuilder:ListContainerRecipes": "DescribeImageReferences asks under the caller's name",
    "imagebuilder:TagResource": "Image Builder checks it for StartImagePipelineExecution with tags",
    "kms:Decrypt": "S3 checks it for reading the journal",
    "kms:GenerateDataKey": "S3 checks it for writing the journal",
    # The worker's journal in S3 and its eye on stopped executions; both are switched by how it is started.
    "codepipeline:ListActionExecutions": "a worker that looks for stopped executions",
    "s3:DeleteObject": "a worker started with --journal s3://...",
    "s3:GetObject": "a worker started with --journal s3://...",
    "s3:ListBucket": "a worker started with --journal s3://...",
    "s3:PutObject": "a worker started with --journal s3://...",
}


class Loader(yaml.SafeLoader):
    """CloudFormation's short forms: `!Ref X` is read as {"Ref": X}."""


def _short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix: value}


Loader.add_multi_constructor("!", _short_form)


class Statement:
    """One IAM statement, with the comment right above it."""

    def __init__(self, template, node, lines):
        loader = Loader("")
        body = loader.construct_mapping(node, deep=True)
        self.sid = body.get("Sid")
        self.effect = body.get("Effect")
        actions = body.get("Action", [])
        self.actions = actions if isinstance(actions, list) else [actions]
        self.of_a_role = "Principal" in body
        self.odd = sorted({"NotAction", "NotResource", "NotPrincipal"} & set(body))
        self.where = f"{template.name}:{node.start_mark.line + 1}"
        comment, above = [], node.start_mark.line - 1
        while above >= 0 and lines[above].lstrip().startswith("#"):
            comment.insert(0, lines[above].strip().lstrip("# "))
            above -= 1
        self.comment = " ".join(comment)

    def __str__(self):
        return f"{self.sid or 'a statement'} ({self.where})"


def statements(template):
    """Every statement of every policy in a template, whatever resource it stands in."""
    text = template.read_text()
    lines = text.splitlines()
    found = []

    def walk(node):
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "Statement" and isinstance(value, yaml.SequenceNode):
                    found.extend(Statement(template, one, lines) for one in value.value)
                else:
                    walk(value)
        elif isinstance(node, yaml.SequenceNode):
            for one in node.value:
                walk(one)

    walk(yaml.compose(text, Loader=Loader))
    return found


def camel(snake):
    return "".join(word.capitalize() for word in snake.split("_"))


def sources(only=()):
    for path in sorted((ROOT / "src").rglob("*.rs")):
        parts = path.relative_to(ROOT / "src").parts
        of_tests = parts[-1] == "tests.rs" or "tests" in parts[:-1] or parts[-1] == "testing.rs"
        if (parts[0] in only if only else parts[0] not in NOT_THE_WORKER) and not of_tests:
            yield parts, path.read_text()


def called(only=()):
    """What the worker, or what stands in some rooms only, calls as itself: IAM's permission -> the files in which it is called.

    Two traces are followed: the name under which a failed call is reported, and the SDK's client with the operation's
    method. A client held as `client` belongs to the SDK crate that its file names.
    """
    calls = {}

    def note(operation, parts):
        service = operation.split(":")[0]
        if service == "s3" and parts[0] in UNDER_JOB_CREDENTIALS:
            return
        calls.setdefault(S3_PERMISSIONS.get(operation, operation), set()).add("/".join(parts))

    method = re.compile(r"\b(\w+)(?:\([^()]*\))?\s*\.\s*([a-z][a-z0-9]*(?:_[a-z0-9]+)*)\(\)")
    named = re.compile(r'"([a-z0-9]+):([A-Z][A-Za-z0-9]+)"')
    for parts, text in sources(only):
        # What follows the inline tests of a file is not the worker.
        text = text.split("#[cfg(test)]\nmod tests {")[0]
        if "AwsError" in text:
            for service, operation in named.findall(text):
                if service in SERVICES:
                    note(f"{service}:{operation}", parts)
        crates = set(re.findall(r"aws_sdk_(\w+)", text)) - {"config"}
        for client, operation in method.findall(text):
            if client == "client" and len(crates) == 1:
                (crate,) = crates
                client = "elbv2" if crate == "elasticloadbalancingv2" else crate
            if client in CLIENTS and operation not in ("clone", "config"):
                note(f"{CLIENTS[client]}:{camel(operation)}", parts)
    return calls


class Policies(unittest.TestCase):
    def setUp(self):
        self.all = [one for template in TEMPLATES for one in statements(template)]

    def test_there_are_statements_to_look_at(self):
        self.assertGreater(len(self.all), 40)

    def test_every_statement_has_a_name_of_its_own(self):
        for template in TEMPLATES:
            for one in statements(template):
                self.assertRegex(one.sid or "", r"^[A-Za-z0-9]+$", f"{one} has no Sid")

    def test_every_statement_names_the_operations_it_is_for(self):
        for one in self.all:
            for action in one.actions:
                if one.effect == "Deny" and action.endswith(":*"):
                    self.assertRegex(one.comment, r"\b\w+:[A-Z]\w+", f"the comment above {one} names no operation")
                    continue
                self.assertIn(action, one.comment, f"the comment above {one} does not say what {action} is for")

    def test_no_comment_speaks_of_an_operation_that_no_statement_has(self):
        known = {action for one in self.all for action in one.actions}
        for one in self.all:
            for operation in re.findall(r"\b[a-z0-9-]+:[A-Z][A-Za-z]+", one.comment):
                if operation != "kms:CreateGrant":
                    self.assertTrue(operation in known, f"{one} speaks of {operation}, which no statement has")

    def test_nothing_is_allowed_wholesale(self):
        for one in self.all:
            self.assertEqual(one.odd, [], f"{one} says what it is not about")
            for action in one.actions:
                if one.effect == "Allow":
                    self.assertNotIn("*", action, f"{one} allows {action}")
                else:
                    # A refusal of everything that is not encrypted must not miss an operation.
                    self.assertNotEqual(action, "*", f"{one} refuses everything")


    def test_no_policy_is_longer_than_iam_takes(self):
        # 6144 characters for a managed policy; white space does not count.
        longest = {"AWS::Partition": "aws", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12,
                   "AWS::URLSuffix": "amazonaws.com"}

        def resolved(value):
            if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("Ref", "Sub", "GetAtt", "ImportValue"):
                (inner,) = value.values()
                text = inner[0] if isinstance(inner, list) else inner
                text = longest.get(text, text) if isinstance(text, str) else "x" * 80
                return re.sub(r"\$\{([^}]+)\}", lambda m: longest.get(m[1], "x" * 40), text)
            if isinstance(value, dict):
                return {key: resolved(one) for key, one in value.items()}
            return [resolved(one) for one in value] if isinstance(value, list) else value

        found = 0
        for template in TEMPLATES:
            for name, resource in yaml.load(template.read_text(), Loader)["Resources"].items():
                if resource["Type"] == "AWS::IAM::ManagedPolicy":
                    found += 1
                    document = resolved(resource["Properties"]["PolicyDocument"])
                    length = len(json.dumps(document, separators=(",", ":")))
                    self.assertLessEqual(length, 6144, f"{name} of {template.name}")
        self.assertGreater(found, 4)


class WorkerRole(unittest.TestCase):
    def setUp(self):
        self.allowed = {}
        for one in statements(ROOT / "pipeline" / "roles.yaml"):
            for action in one.actions if one.effect == "Allow" else ():
                # Who may take the role is not what the role may do.
                if not one.of_a_role:
                    self.allowed.setdefault(action, []).append(str(one))
        self.called = called()

    def test_the_scan_finds_calls(self):
        for sure in ("codepipeline:PollForJobs", "kms:Sign", "ec2:RunInstances", "autoscaling:StartInstanceRefresh"):
            self.assertIn(sure, self.called)

    def test_whatever_the_code_calls_is_allowed(self):
        for operation, files in sorted(self.called.items()):
            if operation not in NOT_IN_THE_TEMPLATES:
                self.assertIn(operation, self.allowed, f"{operation} is called in {', '.join(sorted(files))}")

    def test_whatever_is_allowed_is_called(self):
        for action, where in sorted(self.allowed.items()):
            if action not in ON_BEHALF:
                self.assertIn(action, self.called, f"{', '.join(where)} allows it and nothing calls it")

    def test_every_explained_exception_is_still_one(self):
        for action in ON_BEHALF:
            self.assertIn(action, self.allowed, f"nothing allows {action} any more: strike its explanation out")
        for operation in NOT_IN_THE_TEMPLATES:
            self.assertIn(operation, self.called, f"nothing calls {operation} any more: strike its explanation out")


class CleanupAlone(unittest.TestCase):
    """A worker that is given nothing but the job protocol, the cleanup's policy and the end of tasks can run a whole cleanup, reaping too."""

    # The functions of the trial's room that the reaper and the cleanup's lists call.
    OF_THE_TRIAL = {"autoscaling:DeleteAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup"}

    def setUp(self):
        resources = yaml.load((ROOT / "pipeline" / "roles.yaml").read_text(), Loader)["Resources"]
        self.statements = resources["CleanupPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        self.allowed = set()
        for policy in ("CleanupPolicy", "JobPolicy", "TaskEndPolicy"):
            for one in resources[policy]["Properties"]["PolicyDocument"]["Statement"]:
                actions = one["Action"]
                self.allowed.update([actions] if isinstance(actions, str) else actions)

    def test_whatever_cleanup_and_reaping_call_is_allowed(self):
        rooms = ("stage/cleanup/", "stage/reap.rs", "stage/reap/find.rs", "stage/reap/tasks.rs")
        needed = {operation for operation, files in called(("stage",)).items() if any(f.startswith(rooms) for f in files)}
        needed = (needed | self.OF_THE_TRIAL) - set(NOT_IN_THE_TEMPLATES)
        self.assertGreater(len(needed), 25)
        self.assertEqual(sorted(needed - self.allowed), [])

    def test_what_takes_away_is_held_to_what_is_ours(self):
        takes = re.compile(r":(Terminate|Delete|Deregister|Disable|Cancel|Update)")
        found = set()
        for one in self.statements:
            actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
            for action in filter(takes.search, actions):
                found.add(action)
                self.assertIn("Condition", one, f"{one['Sid']} allows {action} of anything")
                self.assertNotEqual(one["Resource"], "*", f"{one['Sid']} allows {action} of anything")
        self.assertLessEqual({"ec2:TerminateInstances", "imagebuilder:CancelImageCreation"}, found)


class Doctor(unittest.TestCase):
    """Whoever has the doctor's policy may look at everything, and change nothing."""

    # Everyone may ask who one is, and what a target's role may do is its own account's to say.
    NEEDS_NO_PERMISSION = ("sts:GetCallerIdentity",)

    def setUp(self):
        self.allowed = {a for one in statements(ROOT / "pipeline" / "doctor.yaml") for a in one.actions}

    def test_whatever_the_doctor_calls_is_allowed(self):
        calls = set(called(("doctor",))) - set(self.NEEDS_NO_PERMISSION)
        self.assertGreater(len(calls), 8)
        self.assertEqual(sorted(calls - self.allowed), [])

    def test_nothing_it_allows_changes_anything(self):
        for action in self.allowed:
            self.assertRegex(action, r":(Describe|Get|List)[A-Z]")


class Line(unittest.TestCase):
    """The action types and the example pipeline speak of the same actions."""

    @staticmethod
    def resources(name):
        return yaml.load((ROOT / "pipeline" / name).read_text(), Loader)["Resources"]

    def test_the_example_uses_every_action_type_as_it_is_declared(self):
        types = {r["Properties"]["Category"]: r["Properties"] for r in self.resources("action-types.yaml").values()}
        self.assertEqual(sorted(types), ["Build", "Deploy", "Invoke", "Test"])
        used, made = [], {"SourceArtifact"}
        for stage in self.resources("example-pipeline.yaml")["Pipeline"]["Properties"]["Stages"]:
            for action in stage["Actions"]:
                if action.get("ActionTypeId", {}).get("Owner") != "Custom":
                    continue
                kind = types[action["ActionTypeId"]["Category"]]
                self.assertEqual(action["ActionTypeId"]["Provider"], kind["Provider"])
                self.assertEqual(action["ActionTypeId"]["Version"], kind["Version"])
                declared = {p["Name"] for p in kind.get("ConfigurationProperties", [])}
                self.assertLessEqual(set(action.get("Configuration", {})), declared)
                self.assertNotEqual(action["Namespace"], action["OutputArtifacts"][0]["Name"])
                self.assertEqual((len(action["InputArtifacts"]), len(action["OutputArtifacts"])), (1, 1))
                self.assertIn(action["InputArtifacts"][0]["Name"], made)
                made.add(action["OutputArtifacts"][0]["Name"])
                used.append(action["ActionTypeId"]["Category"])
        self.assertEqual(used, ["Build", "Test", "Deploy", "Invoke"])
        self.assertEqual(made, {"SourceArtifact", "BakedImage", "TestedImage", "PromotedImage", "CleanedUp"})

    def test_what_a_stack_imports_another_one_exports(self):
        exports, imports = set(), set()
        for template in TEMPLATES:
            text = template.read_text()
            exports |= set(re.findall(r'Export: \{ Name: !Sub "\$\{AWS::StackName\}-(\w+)"', text))
            imports |= set(re.findall(r'!ImportValue \{ "Fn::Sub": "\$\{\w+Stack\}-(\w+)" \}', text))
        self.assertGreater(len(imports), 5)
        self.assertEqual(imports - exports, set())

    def test_a_task_is_given_the_roles_it_may_act_as(self):
        task = self.resources("worker-fargate.yaml")["TaskDefinition"]["Properties"]
        init, worker = task["ContainerDefinitions"]
        (chosen,) = worker["Environment"]
        condition, setting, _ = chosen["If"]
        self.assertEqual((condition, setting["Name"]), ("HasTargets", "BAKELINE_TARGETS"))
        self.assertEqual([secret["If"][1]["Name"] for secret in init["Secrets"] if "If" in secret], ["TARGETS"])
        shell, dash_c, script = init["Command"]
        with tempfile.TemporaryDirectory() as folder:
            script = script.replace("/trust/", f"{folder}/")
            for targets in ("", "targets: {}\n"):
                given = {"PATH": os.environ["PATH"], "TRUST_ROOT": "keys: []\n", "TARGETS": targets}
                subprocess.run([shell, dash_c, script], env=given, check=True, timeout=20)
                written = Path(setting["Value"].replace("/trust/", f"{folder}/"))
                self.assertEqual(written.read_text() if written.exists() else "", targets)

    def test_a_target_is_entered_by_its_worker_and_its_external_id_alone(self):
        role = self.resources("roles.yaml")["WorkerRole"]["Properties"]["AssumeRolePolicyDocument"]
        condition, target, worker = role["If"]
        self.assertEqual(condition, "IsTarget")
        (statement,) = target["Statement"]
        self.assertEqual(statement["Principal"], {"AWS": {"Ref": "TargetOf"}})
        self.assertEqual(statement["Condition"], {"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}})
        self.assertNotIn("AWS", worker["Statement"][0]["Principal"])
        # What a target's role may do is what stages do: the job protocol, the journal and the key stay at home.
        for name, resource in self.resources("roles.yaml").items():
            if "codepipeline:PollForJobs" in json.dumps(resource) or "kms:Sign" in json.dumps(resource):
                self.assertEqual(resource.get("Condition"), "IsWorker", name)

    def test_a_task_outlives_the_grace_of_its_worker(self):
        template = yaml.load((ROOT / "pipeline" / "worker-fargate.yaml").read_text(), Loader)
        timeouts = template["Mappings"]["StopTimeout"]
        self.assertEqual(sorted(timeouts), sorted(template["Parameters"]["Grace"]["AllowedValues"]))
        for grace, timeout in timeouts.items():
            self.assertLess(int(grace.removesuffix("s")), timeout["Seconds"])
            self.assertLessEqual(timeout["Seconds"], 120)


STAND_IN = """#!/bin/sh
if [ "$1" = --version ]; then echo "bakeline 0.0.0-stand-in"; exit 0; fi
printf '%s\\n' "$@" > "$STAND_IN_ARGUMENTS"
if [ -n "$BAKELINE_TARGETS" ]; then cat "$BAKELINE_TARGETS" > "$STAND_IN_TARGETS"; fi
while [ $# -gt 1 ]; do if [ "$1" = --trust ]; then cat "$2" > "$STAND_IN_TRUST"; fi; shift; done
echo '{"message":"job claimed","job":"0b9d1f7e-5c1a-4f0e-8a53-6d2b4c8e9f01"}' >&2
echo '{"message":"slice done","job":"0b9d1f7e-5c1a-4f0e-8a53-6d2b4c8e9f01"}' >&2
echo 'job claimed job=2d7f3b50-7e3c-4b2a-8c75-8f4d6e0a1b23' >&2
exit "${STAND_IN_CODE:-0}"
"""


@unittest.skipUnless(shutil.which("bash"), "the buildspec asks for bash")
class Buildspec(unittest.TestCase):
    """The buildspec's commands in a plain shell, as CodeBuild runs them: one shell, a phase ends at a failed command,
    post_build runs whatever happened in build, and exported variables are read from that shell at the end."""

    def run_it(self, **environment):
        spec = yaml.safe_load((ROOT / "buildspec.yml").read_text())
        self.assertEqual(str(spec["version"]), "0.2")
        script = ["failed=0"]
        for phase in ("install", "pre_build", "build", "post_build"):
            if phase == "build":
                script.append('before=$failed')
            for command in spec["phases"][phase]["commands"]:
                guard = '[ "$failed" != 0 ]' if phase != "post_build" else '[ "$before" != 0 ]'
                # A newline before the brace, since a command may end in a comment.
                script.append(f"if ! {guard}; then {{ {command}\n}} || failed=1; fi")
        for name in spec["env"]["exported-variables"]:
            script.append(f'printf "%s=%s\\n" {name} "$(printenv {name})" >> "$EXPORTED"')
        script.append("exit $failed")
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            (folder / "bin").mkdir()
            binary = folder / "bin" / "bakeline"
            binary.write_text(STAND_IN)
            told = {
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "CODEBUILD_BUILD_ID": "bakeline-worker:00000000-0000-4000-8000-000000000000",
                "AWS_REGION": "eu-west-1",
                "EXPORTED": str(folder / "exported"),
                "STAND_IN_ARGUMENTS": str(folder / "arguments"),
                "STAND_IN_TRUST": str(folder / "trust"),
                "STAND_IN_TARGETS": str(folder / "targets"),
                "BAKELINE_SIGNING_KEY": "kms:arn:aws:kms:eu-west-1:123456789012:key/k",
                "BAKELINE_JOURNAL": "s3://journal/jobs",
                "BAKELINE_SLOTS": "32",
                "BAKELINE_TRUST_ROOT": "keys:\n  - name: release\n",
                **spec["env"]["variables"],
                **environment,
            }
            done = subprocess.run(
                [shutil.which(spec["env"]["shell"]), "-c", "\n".join(script)],
                cwd=folder, env=told, capture_output=True, text=True, timeout=60, check=False,
            )
            read = lambda name: (folder / name).read_text() if (folder / name).exists() else None
            exported = dict(line.split("=", 1) for line in (read("exported") or "").splitlines())
            reports = spec["reports"]["jobs"]["base-directory"]
            self.targets = read("targets")
            return done, exported, read("arguments"), read("trust"), read(f"{reports}/drain.xml")

    def test_a_drain_ends_well_and_says_what_it_did(self):
        done, exported, arguments, trust, report = self.run_it()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            exported,
            {"BAKELINE_OUTCOME": "drained", "BAKELINE_JOBS": "2", "BAKELINE_VERSION": "bakeline 0.0.0-stand-in"},
        )
        arguments = arguments.split("\n")
        self.assertEqual(arguments[:2], ["work", "--drain"])
        for flag, value in {
            "--slots": "32",
            "--grace": "60s",
            "--stages": "bake,test,promote,cleanup",
            "--journal": "s3://journal/jobs",
            "--junit": "reports",
            "--signing-key": "kms:arn:aws:kms:eu-west-1:123456789012:key/k",
        }.items():
            self.assertEqual(arguments[arguments.index(flag) + 1], value)
        self.assertEqual(trust, "keys:\n  - name: release\n")
        self.assertIsNone(self.targets)
        self.assertIn('failures="0"', report)

    def test_the_worker_is_given_the_roles_it_may_act_as(self):
        template = (ROOT / "pipeline" / "worker-codebuild.yaml").read_text()
        self.assertIn("Name: BAKELINE_TARGET_ROLES\n", template)
        text = "targets:\n  production: {}\n"
        done, *_ = self.run_it(BAKELINE_TARGET_ROLES=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.targets, text)

    def test_a_worker_that_fails_fails_the_build_and_is_reported(self):
        done, exported, _, _, report = self.run_it(STAND_IN_CODE="69")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual((exported["BAKELINE_OUTCOME"], exported["BAKELINE_JOBS"]), ("failed", "2"))
        self.assertIn('failures="1"', report)
        self.assertIn("code 69", report)

    def test_without_a_trust_root_no_worker_is_started(self):
        done, exported, arguments, _, _ = self.run_it(BAKELINE_TRUST_ROOT="")
        self.assertNotEqual(done.returncode, 0)
        self.assertIsNone(arguments)
        self.assertEqual(exported["BAKELINE_OUTCOME"], "")
        self.assertIn("BAKELINE_TRUST_ROOT is empty", done.stderr)


if __name__ == "__main__":
    print(f"{len(TEMPLATES)} templates, python {sys.version.split()[0]}")
    unittest.main()
