#!/usr/bin/env python3
"""Checks pipeline/, buildspec.yml and the container file against each other and against the AWS calls in src/.

Every IAM statement has a comment that names its operations; no statement allows a whole service; the worker's role allows
each operation that the code calls, and no other. The buildspec's commands run in a shell with a fake binary.

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

# Name of an SDK client in the code -> name of the service in IAM.
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

# S3 operations whose permission has another name.
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

# Folders of src/ whose code runs with a person's credentials.
NOT_THE_WORKER = ("cli", "doctor")

# Folders whose S3 calls use a job's credentials, which CodePipeline derives from the pipeline's role.
UNDER_JOB_CREDENTIALS = ("artifact", "stage")

# Operations that the code calls and the worker's role does not allow, with the command that calls them.
NOT_IN_THE_TEMPLATES = {
    "ec2:DeleteLaunchTemplateVersions": "bakeline reap remove --keep-template-versions, run by a person",
    "ec2:ListImagesInRecycleBin": "bakeline cleanup undo, run by a person",
    "ec2:ListSnapshotsInRecycleBin": "bakeline cleanup undo, run by a person",
    "ec2:RestoreImageFromRecycleBin": "bakeline cleanup undo, run by a person",
    "ec2:RestoreSnapshotFromRecycleBin": "bakeline cleanup undo, run by a person",
    "ecr:ListImages": "bakeline reap remove --records-older-than, run by a person",
    "imagebuilder:DeleteComponent": "bakeline reap remove --records-older-than, run by a person",
    "imagebuilder:DeleteContainerRecipe": "bakeline reap remove --records-older-than, run by a person",
    "imagebuilder:DeleteImage": "bakeline reap remove --records-older-than, run by a person",
    "imagebuilder:DeleteImageRecipe": "bakeline reap remove --records-older-than, run by a person",
    "imagebuilder:ListComponents": "bakeline reap remove --records-older-than, run by a person",
    "secretsmanager:GetSecretValue": "--signing-key secretsmanager:ARN; the templates use KMS",
}

# Operations that the worker's role allows and the code does not call, with the reason.
ON_BEHALF = {
    "ecs:TagResource": "ECS checks it for RegisterTaskDefinition and RunTask with tags",
    "iam:PassRole": "EC2 and Auto Scaling check it for the roles in instance profiles",
    "imagebuilder:GetDistributionConfiguration": "Image Builder checks it for CreateImage",
    "imagebuilder:GetInfrastructureConfiguration": "Image Builder checks it for CreateImage",
    "inspector2:BatchGetAccountStatus": "Image Builder checks it for CreateImage of a build that is scanned",
    "inspector2:ListFindings": "Image Builder checks it for ListImageScanFindings",
    "imagebuilder:GetImagePipeline": "Image Builder checks it for StartImagePipelineExecution",
    "imagebuilder:ListContainerRecipes": "EC2 checks it for DescribeImageReferences",
    "imagebuilder:TagResource": "Image Builder checks it for StartImagePipelineExecution with tags",
    "kms:Decrypt": "S3 checks it for reading the journal",
    "kms:GenerateDataKey": "S3 checks it for writing the journal",
    # Calls that depend on how the worker is started.
    "codepipeline:ListActionExecutions": "the worker detects stopped executions",
    "s3:DeleteObject": "work --journal s3://...",
    "s3:GetObject": "work --journal s3://...",
    "s3:ListBucket": "work --journal s3://...",
    "s3:PutObject": "work --journal s3://...",
}


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref X` becomes {"Ref": X}."""


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
    """An IAM statement with the comment above it."""

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
    """All IAM statements of a template."""
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
    """IAM permission -> files that call it, for the worker or for the folders `only`.

    It looks for the names in AwsError and for the methods of SDK clients. A client in a variable `client` belongs to the
    SDK crate that its file names.
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
        # Inline tests are at the end of a file.
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
            # `cloudwatch.queries()` reads the release spec.
            if client in CLIENTS and operation not in ("clone", "config", "queries"):
                note(f"{CLIENTS[client]}:{camel(operation)}", parts)
    return calls


class Policies(unittest.TestCase):
    def setUp(self):
        self.all = [one for template in TEMPLATES for one in statements(template)]

    def test_statements_are_found(self):
        self.assertGreater(len(self.all), 40)

    def test_every_statement_has_a_sid(self):
        for template in TEMPLATES:
            for one in statements(template):
                self.assertRegex(one.sid or "", r"^[A-Za-z0-9]+$", f"{one} has no Sid")

    def test_the_comment_of_a_statement_names_its_operations(self):
        for one in self.all:
            for action in one.actions:
                if one.effect == "Deny" and action.endswith(":*"):
                    self.assertRegex(one.comment, r"\b\w+:[A-Z]\w+", f"the comment above {one} names no operation")
                    continue
                self.assertIn(action, one.comment, f"the comment above {one} does not say what {action} is for")

    def test_no_comment_names_an_operation_without_a_statement(self):
        known = {action for one in self.all for action in one.actions}
        for one in self.all:
            for operation in re.findall(r"\b[a-z0-9-]+:[A-Z][A-Za-z]+", one.comment):
                if operation != "kms:CreateGrant":
                    self.assertTrue(operation in known, f"the comment of {one} names {operation}, which no statement has")

    def test_no_statement_allows_a_whole_service(self):
        for one in self.all:
            self.assertEqual(one.odd, [], f"{one} uses NotAction, NotResource or NotPrincipal")
            for action in one.actions:
                if one.effect == "Allow":
                    self.assertNotIn("*", action, f"{one} allows {action}")
                else:
                    self.assertNotEqual(action, "*", f"{one} denies every service")

    def test_no_policy_exceeds_the_size_limit_of_iam(self):
        # IAM allows 6144 characters without white space in a managed policy.
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
                # A trust policy allows nothing to the role itself.
                if not one.of_a_role:
                    self.allowed.setdefault(action, []).append(str(one))
        self.called = called()

    def test_the_scan_finds_calls(self):
        for sure in ("codepipeline:PollForJobs", "kms:Sign", "ec2:RunInstances", "autoscaling:StartInstanceRefresh"):
            self.assertIn(sure, self.called)

    def test_every_call_of_the_code_is_allowed(self):
        for operation, files in sorted(self.called.items()):
            if operation not in NOT_IN_THE_TEMPLATES:
                self.assertIn(operation, self.allowed, f"{operation} is called in {', '.join(sorted(files))}")

    def test_every_allowed_operation_is_called(self):
        for action, where in sorted(self.allowed.items()):
            if action not in ON_BEHALF:
                self.assertIn(action, self.called, f"{', '.join(where)} allows it, and the code does not call it")

    def test_every_exception_is_needed(self):
        for action in ON_BEHALF:
            self.assertIn(action, self.allowed, f"no statement allows {action}: remove the exception")
        for operation in NOT_IN_THE_TEMPLATES:
            self.assertIn(operation, self.called, f"the code does not call {operation}: remove the exception")


class CleanupAlone(unittest.TestCase):
    """The job policy and the cleanup policies are enough for the cleanup stage."""

    # Calls of the promote folder that cleanup uses.
    OF_CANARY = {"autoscaling:DeleteAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup"}

    def setUp(self):
        resources = yaml.load((ROOT / "pipeline" / "roles.yaml").read_text(), Loader)["Resources"]
        self.statements = resources["CleanupPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        self.allowed = set()
        for policy in ("CleanupPolicy", "CleanupContainersPolicy", "JobPolicy", "TaskEndPolicy"):
            for one in resources[policy]["Properties"]["PolicyDocument"]["Statement"]:
                actions = one["Action"]
                self.allowed.update([actions] if isinstance(actions, str) else actions)

    def test_every_call_of_cleanup_and_reap_is_allowed(self):
        rooms = ("stage/cleanup/", "stage/reap.rs", "stage/reap/find.rs", "stage/reap/tasks.rs")
        needed = {operation for operation, files in called(("stage",)).items() if any(f.startswith(rooms) for f in files)}
        needed = (needed | self.OF_CANARY) - set(NOT_IN_THE_TEMPLATES)
        self.assertGreater(len(needed), 25)
        self.assertEqual(sorted(needed - self.allowed), [])

    def test_deletions_have_conditions(self):
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
    """The policy of doctor.yaml allows everything that doctor reads, and no change."""

    # Needs no permission.
    NEEDS_NO_PERMISSION = ("sts:GetCallerIdentity",)

    def setUp(self):
        self.allowed = {a for one in statements(ROOT / "pipeline" / "doctor.yaml") for a in one.actions}

    def test_every_call_of_doctor_is_allowed(self):
        calls = set(called(("doctor",))) - set(self.NEEDS_NO_PERMISSION)
        self.assertGreater(len(calls), 8)
        self.assertEqual(sorted(calls - self.allowed), [])

    def test_it_allows_only_reads(self):
        for action in self.allowed:
            self.assertRegex(action, r":(Describe|Get|List)[A-Z]")


class Pipeline(unittest.TestCase):
    """The action types, the example pipeline, the worker templates and the code agree."""

    @staticmethod
    def resources(name):
        return yaml.load((ROOT / "pipeline" / name).read_text(), Loader)["Resources"]

    def test_the_action_types_are_those_of_the_code(self):
        code = (ROOT / "src" / "worker" / "action.rs").read_text()
        providers = set(re.findall(r'"(Bakeline\w+)"', code))
        resources = self.resources("action-types.yaml")
        self.assertEqual({r["Properties"]["Provider"] for r in resources.values()}, providers)
        for name, resource in resources.items():
            declared = resource["Properties"]
            self.assertEqual(declared["Provider"], f"Bakeline{name}")
            self.assertEqual([p["Name"] for p in declared["ConfigurationProperties"]], ["Spec", "Part", "Options"])
            for one in declared["ConfigurationProperties"]:
                self.assertEqual((one["Required"], one["Secret"], one["Queryable"]), (False, False, False))
            counts = [declared[f"{kind}ArtifactDetails"] for kind in ("Input", "Output")]
            self.assertEqual([(c["MinimumCount"], c["MaximumCount"]) for c in counts], [(1, 5), (0, 1)])

    def test_the_example_uses_every_action_type_as_it_is_declared(self):
        types = {r["Properties"]["Provider"]: r["Properties"] for r in self.resources("action-types.yaml").values()}
        used, made = [], {"SourceArtifact"}
        for stage in self.resources("example-pipeline.yaml")["Pipeline"]["Properties"]["Stages"]:
            for action in stage["Actions"]:
                if action.get("ActionTypeId", {}).get("Owner") != "Custom":
                    continue
                declared = types[action["ActionTypeId"]["Provider"]]
                self.assertEqual(action["ActionTypeId"]["Category"], declared["Category"])
                self.assertEqual(action["ActionTypeId"]["Version"], declared["Version"])
                properties = {p["Name"] for p in declared["ConfigurationProperties"]}
                self.assertLessEqual(set(action.get("Configuration", {})), properties)
                self.assertNotEqual(action["Namespace"], action["OutputArtifacts"][0]["Name"])
                self.assertEqual((len(action["InputArtifacts"]), len(action["OutputArtifacts"])), (1, 1))
                self.assertIn(action["InputArtifacts"][0]["Name"], made)
                made.add(action["OutputArtifacts"][0]["Name"])
                used.append(action["ActionTypeId"]["Category"])
        self.assertEqual(used, ["Build", "Test", "Deploy", "Invoke"])
        self.assertEqual(made, {"SourceArtifact", "BakedImage", "TestedImage", "PromotedImage", "CleanedUp"})

    def test_the_example_uses_only_output_variables_that_a_stage_sets(self):
        text = (ROOT / "pipeline" / "example-pipeline.yaml").read_text()
        used = re.findall(r"#\{(\w+)\.(\w+)\}", text)
        self.assertGreater(len(used), 2)
        code = "\n".join(text for _, text in sources(("stage",)))
        for namespace, variable in used:
            self.assertTrue(f'"{variable}"' in code, f"no stage sets {namespace}.{variable}")

    def test_events_of_every_action_type_start_a_worker(self):
        pattern = self.resources("worker-codebuild.yaml")["ActionStarted"]["Properties"]["EventPattern"]
        types = self.resources("action-types.yaml").values()
        self.assertEqual(sorted(pattern["detail"]["type"]["provider"]), sorted(r["Properties"]["Provider"] for r in types))

    def test_every_import_of_a_stack_is_exported_by_another(self):
        exports, imports = set(), set()
        for template in TEMPLATES:
            text = template.read_text()
            exports |= set(re.findall(r'Export: \{ Name: !Sub "\$\{AWS::StackName\}-(\w+)"', text))
            imports |= set(re.findall(r'!ImportValue \{ "Fn::Sub": "\$\{\w+Stack\}-(\w+)" \}', text))
        self.assertGreater(len(imports), 5)
        self.assertEqual(imports - exports, set())

    def test_workers_read_trust_root_and_environments_from_parameters(self):
        (worker,) = self.resources("worker-fargate.yaml")["TaskDefinition"]["Properties"]["ContainerDefinitions"]
        arguments = worker["Command"]
        reference = lambda name: {"Sub": ["ssm:/${Parameter}", {"Parameter": {"ImportValue": {"Fn::Sub": "${RolesStack}-" + name}}}]}
        self.assertEqual(arguments[arguments.index("--trust") + 1], reference("TrustParameter"))
        project = self.resources("worker-codebuild.yaml")["Project"]["Properties"]["Environment"]["EnvironmentVariables"]
        self.assertIn({"Name": "BAKELINE_TRUST", "Value": reference("TrustParameter")}, project)
        environments = {"Name": "BAKELINE_ENVIRONMENTS", "Value": reference("EnvironmentsParameter")}
        for variables in (worker["Environment"], project):
            self.assertIn({"If": ["HasEnvironments", environments, {"Ref": "AWS::NoValue"}]}, variables)

    def test_the_worker_may_not_write_its_own_configuration(self):
        denied = [one for one in statements(ROOT / "pipeline" / "roles.yaml") if one.effect == "Deny"]
        self.assertEqual([one.actions for one in denied], [["ssm:PutParameter", "ssm:DeleteParameter"]])
        parameters = yaml.load((ROOT / "pipeline" / "roles.yaml").read_text(), Loader)["Parameters"]
        defaults = [parameters[name]["Default"] for name in ("TrustParameter", "EnvironmentsParameter", "BakeParameters")]
        self.assertEqual(defaults, ["bakeline/config/trust", "bakeline/config/environments", "bakeline/images/*"])

    def test_every_variable_of_a_template_is_a_flag(self):
        code = "\n".join(path.read_text() for path in sorted((ROOT / "src" / "cli").rglob("*.rs")))
        flags = set(re.findall(r'env\s*=\s*"(BAKELINE_\w+)"', code))
        self.assertGreater(len(flags), 8)
        for file in [*TEMPLATES, ROOT / "buildspec.yml"]:
            for name in re.findall(r"BAKELINE_\w+", file.read_text()):
                if not name.startswith("BAKELINE_OUT_"):
                    self.assertIn(name, flags, file.name)

    def test_the_container_is_built_from_everything_that_cargo_reads(self):
        kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        self.assertLessEqual({"Cargo.toml", "Cargo.lock", "src", "crates", "templates"}, kept)
        manifest = (ROOT / "Cargo.toml").read_text()
        for path in re.findall(r'^path = "([^"]+)"', manifest, re.MULTILINE):
            self.assertIn(path.split("/")[0], kept)

    def test_only_the_worker_with_the_external_id_assumes_the_role_of_an_environment(self):
        role = self.resources("roles.yaml")["WorkerRole"]["Properties"]["AssumeRolePolicyDocument"]
        condition, environment, worker = role["If"]
        self.assertEqual(condition, "IsEnvironment")
        (statement,) = environment["Statement"]
        self.assertEqual(statement["Principal"], {"AWS": {"Ref": "EnvironmentOf"}})
        self.assertEqual(statement["Condition"], {"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}})
        self.assertNotIn("AWS", worker["Statement"][0]["Principal"])
        # The job protocol, the journal and the signing key are for the worker's role only.
        for name, resource in self.resources("roles.yaml").items():
            if "codepipeline:PollForJobs" in json.dumps(resource) or "kms:Sign" in json.dumps(resource):
                self.assertEqual(resource.get("Condition"), "IsWorker", name)

    def test_the_stop_timeout_is_longer_than_the_grace(self):
        template = yaml.load((ROOT / "pipeline" / "worker-fargate.yaml").read_text(), Loader)
        timeouts = template["Mappings"]["StopTimeout"]
        self.assertEqual(sorted(timeouts), sorted(template["Parameters"]["Grace"]["AllowedValues"]))
        for grace, timeout in timeouts.items():
            self.assertLess(int(grace.removesuffix("s")), timeout["Seconds"])
            self.assertLessEqual(timeout["Seconds"], 120)


FAKE = """#!/bin/sh
if [ "$1" = --version ]; then echo "bakeline 0.0.0-fake"; exit 0; fi
printf '%s\\n' "$@" > "$FAKE_ARGUMENTS"
env > "$FAKE_ENVIRONMENT"
echo '{"event":"bakeline.job.claimed","job_id":"0b9d1f7e-5c1a-4f0e-8a53-6d2b4c8e9f01"}' >&2
echo '{"event":"bakeline.slice.ended","job_id":"0b9d1f7e-5c1a-4f0e-8a53-6d2b4c8e9f01"}' >&2
echo 'job claimed job_id=2d7f3b50-7e3c-4b2a-8c75-8f4d6e0a1b23' >&2
exit "${FAKE_CODE:-0}"
"""


@unittest.skipUnless(shutil.which("bash"), "the buildspec asks for bash")
class Buildspec(unittest.TestCase):
    """Runs the buildspec's commands as CodeBuild does: in one shell, where a failed command ends its phase, post_build
    runs after a failed build, and exported variables are read from the shell at the end."""

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
            binary.write_text(FAKE)
            given = {
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "CODEBUILD_BUILD_ID": "bakeline-worker:00000000-0000-4000-8000-000000000000",
                "AWS_REGION": "eu-west-1",
                "EXPORTED": str(folder / "exported"),
                "FAKE_ARGUMENTS": str(folder / "arguments"),
                "FAKE_ENVIRONMENT": str(folder / "environment"),
                "BAKELINE_SIGNING_KEY": "kms:arn:aws:kms:eu-west-1:123456789012:key/k",
                "BAKELINE_JOURNAL": "s3://journal/journal",
                "BAKELINE_SLOTS": "32",
                "BAKELINE_TRUST": "ssm:/bakeline/config/trust",
                **spec["env"]["variables"],
                **environment,
            }
            done = subprocess.run(
                [shutil.which(spec["env"]["shell"]), "-c", "\n".join(script)],
                cwd=folder, env=given, capture_output=True, text=True, timeout=60, check=False,
            )
            read = lambda name: (folder / name).read_text() if (folder / name).exists() else ""
            pairs = lambda name: dict(line.split("=", 1) for line in read(name).splitlines() if "=" in line)
            reports = spec["reports"]["jobs"]["base-directory"]
            self.assertEqual(reports, spec["env"]["variables"]["BAKELINE_JUNIT"])
            return done, pairs("exported"), read("arguments").split(), pairs("environment"), read(f"{reports}/drain.xml")

    def test_a_drain_without_failures_succeeds_and_exports_what_it_did(self):
        done, exported, arguments, environment, report = self.run_it()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            exported,
            {"BAKELINE_OUT_RESULT": "success", "BAKELINE_OUT_JOBS": "2", "BAKELINE_OUT_VERSION": "bakeline 0.0.0-fake"},
        )
        self.assertEqual(arguments, ["work", "--drain"])
        for name, value in {
            "BAKELINE_SLOTS": "32",
            "BAKELINE_GRACE": "60s",
            "BAKELINE_STAGES": "bake,test,promote,cleanup",
            "BAKELINE_JOURNAL": "s3://journal/journal",
            "BAKELINE_JUNIT": "reports",
            "BAKELINE_SIGNING_KEY": "kms:arn:aws:kms:eu-west-1:123456789012:key/k",
            "BAKELINE_TRUST": "ssm:/bakeline/config/trust",
        }.items():
            self.assertEqual(environment[name], value)
        self.assertNotIn("BAKELINE_ENVIRONMENTS", environment)
        self.assertIn('failures="0"', report)

    def test_a_worker_that_fails_fails_the_build_and_is_reported(self):
        done, exported, _, _, report = self.run_it(FAKE_CODE="69")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual((exported["BAKELINE_OUT_RESULT"], exported["BAKELINE_OUT_JOBS"]), ("failure", "2"))
        self.assertIn('failures="1"', report)
        self.assertIn("code 69", report)


if __name__ == "__main__":
    print(f"{len(TEMPLATES)} templates, python {sys.version.split()[0]}")
    unittest.main()
