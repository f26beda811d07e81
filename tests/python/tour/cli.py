"""The AWS CLI as it is, once through each service: what people type."""

import json
import pathlib
import subprocess
import sys

LINES = """
autoscaling describe-auto-scaling-groups --query AutoScalingGroups[].AutoScalingGroupName
cloudwatch describe-alarms --alarm-names web-5xx --query MetricAlarms[].AlarmName
codepipeline list-pipelines --query pipelines[].name
codepipeline get-pipeline-state --name web --query pipelineName
ec2 describe-images --owners self --query Images[].ImageId
ec2 describe-instances --max-items 2 --query Reservations[].Instances[].InstanceId
elbv2 describe-target-groups --query TargetGroups[].TargetGroupName
imagebuilder list-image-pipelines --query imagePipelineList[].name
kms list-aliases --query Aliases[].AliasName
s3api list-buckets --query Buckets[].Name
secretsmanager create-secret --name cli --secret-string x --query Name
ssm put-parameter --name /cli --value 1 --type String --query Version
ssm get-parameter --name /cli --query Parameter.Value
sts get-caller-identity --query Account
"""


def tour(aws):
    cli = [sys.executable, str(pathlib.Path(sys.executable).with_name("aws"))]
    environment = aws.environment()

    def run(*arguments):
        return subprocess.run([*cli, *arguments, "--output", "json"], env=environment, capture_output=True, text=True)
    for line in LINES.strip().splitlines():
        done = run(*line.split())
        assert done.returncode == 0 and json.loads(done.stdout), f"aws {line}: {done.stdout}{done.stderr}"
    refused = run("ec2", "describe-images", "--image-ids", "ami-00000000000000000")
    assert refused.returncode in (254, 255) and "(InvalidAMIID.NotFound)" in refused.stderr, refused.stderr
    source = pathlib.Path(__file__)
    bucket = json.loads(run("s3api", "list-buckets", "--query", "Buckets[0].Name").stdout)
    for arguments in (("cp", str(source), f"s3://{bucket}/cli/a.py", "--sse", "aws:kms"), ("ls", f"s3://{bucket}/cli/"),
                      ("rm", f"s3://{bucket}/cli/a.py")):
        done = subprocess.run([*cli, "s3", *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"aws s3 {arguments}: {done.stderr}"
