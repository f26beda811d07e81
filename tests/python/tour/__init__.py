"""A tour of every operation the embedded AWS offers, by boto3 and the AWS CLI as they are."""
