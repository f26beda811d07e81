"""EBS direct: the blocks of a snapshot, listed and read."""

import base64
import hashlib

from .embedded_aws import refused


def tour(aws):
    ec2, ebs = aws.client("ec2"), aws.client("ebs")
    image = sorted(ec2.describe_images(Owners=["self"])["Images"], key=lambda i: i["CreationDate"])[-1]
    snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    listed = ebs.list_snapshot_blocks(SnapshotId=snapshot)
    assert listed["BlockSize"] == 512 << 10 and listed["VolumeSize"] == image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]
    blocks = listed["Blocks"]
    assert blocks and blocks == sorted(blocks, key=lambda b: b["BlockIndex"])
    later = ebs.list_snapshot_blocks(SnapshotId=snapshot, StartingBlockIndex=blocks[0]["BlockIndex"] + 1)["Blocks"]
    assert [b["BlockIndex"] for b in later] == [b["BlockIndex"] for b in blocks[1:]]

    last = blocks[-1]
    read = ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=last["BlockIndex"], BlockToken=last["BlockToken"])
    data = read["BlockData"].read()
    assert len(data) == read["DataLength"] == listed["BlockSize"]
    assert (read["ChecksumAlgorithm"], read["Checksum"]) == (
        "SHA256", base64.b64encode(hashlib.sha256(data).digest()).decode())

    nowhere = "snap-00000000000000000"
    refused("ResourceNotFoundException", 404, ebs.list_snapshot_blocks, SnapshotId=nowhere)
    refused("ValidationException", 400, ebs.list_snapshot_blocks, SnapshotId=snapshot, MaxResults=99)
    refused("ValidationException", 400, ebs.list_snapshot_blocks, SnapshotId=snapshot,
            StartingBlockIndex=listed["VolumeSize"] * 2048)
    refused("ValidationException", 400, ebs.get_snapshot_block, SnapshotId=snapshot, BlockIndex=last["BlockIndex"],
            BlockToken=blocks[0]["BlockToken"])
