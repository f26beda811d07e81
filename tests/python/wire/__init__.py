"""Holds what crossed the wire against the service models that ship with botocore.

Nothing here knows how the embedded AWS works: requests are decoded by the full models, answers by botocore's own
parsers.
"""
