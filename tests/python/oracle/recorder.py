"""What a script saw, in a form two clouds can be compared by."""

import boto3
import botocore.config
import botocore.exceptions
import botocore.parsers


class Recorder:
    """Runs steps against one cloud and keeps what each came to."""

    def __init__(self, settings):
        self.settings, self.seen, self.called = settings, {}, set()

    def client(self, service):
        client = boto3.client(
            service, endpoint_url=self.settings["AWS_ENDPOINT_URL"], region_name="eu-west-1",
            aws_access_key_id=self.settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.settings["AWS_SECRET_ACCESS_KEY"],
            config=botocore.config.Config(retries={"total_max_attempts": 1}, parameter_validation=False,
                                          s3={"addressing_style": "path"}, read_timeout=20),
        )
        client.meta.events.register("before-call", lambda model, **_: self.called.add(
            (model.service_model.service_name, model.name)))
        return client

    def step(self, name, call, pick=None, **params):
        """Makes one call. Seen is what `pick` makes of the answer, or code and status of the refusal."""
        try:
            answer = call(**params)
        except botocore.exceptions.ClientError as error:
            response = error.response
            self.seen[name] = f"{response['Error']['Code']} {response['ResponseMetadata']['HTTPStatusCode']}"
            return None
        except botocore.parsers.ResponseParserError:
            # The emulator fell over.
            self.seen[name] = "no answer"
            return None
        self.seen[name] = pick(answer) if pick else "ok"
        return answer

    def fact(self, name, value):
        self.seen[name] = value
