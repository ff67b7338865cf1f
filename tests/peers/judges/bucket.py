"""An S3 client that is not ours, PyPI boto3, at a bucket with Object Lock.

    bucket.py ENDPOINT make BUCKET
    bucket.py ENDPOINT locked BUCKET PREFIX
    bucket.py ENDPOINT restore BUCKET PREFIX MANIFEST VERSION NEW_DIR
    bucket.py ENDPOINT latest BUCKET PREFIX NEW_DIR
    bucket.py ENDPOINT overlay BUCKET PREFIX

`locked` tries to delete every version; `restore` reads the versions that manifests record, `latest`
what stands under each name; `overlay` lays altered bytes over every bundle.

Exit status: 0 when it holds or is done, 1 when not.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION, KEY_ID, SECRET = "us-east-1", "AKIAEXAMPLE", "secret-for-trials"


class Bucket:
    """The objects below one prefix."""

    def __init__(self, endpoint: str, bucket: str, prefix: str = "") -> None:
        self.name, self.prefix = bucket, prefix
        self.s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )

    def versions(self) -> Iterator[dict]:
        pages = self.s3.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.name, Prefix=f"{self.prefix}/"):
            yield from page.get("Versions", [])

    def read(self, key: str, **version: str) -> bytes:
        full = f"{self.prefix}/{key}"
        return self.s3.get_object(Bucket=self.name, Key=full, **version)["Body"].read()


def locked(bucket: Bucket) -> None:
    count = 0
    for version in bucket.versions():
        named = {"Bucket": bucket.name, "Key": version["Key"], "VersionId": version["VersionId"]}
        head = bucket.s3.head_object(**named)
        mode, until = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
        if mode != "COMPLIANCE" or until <= datetime.now(UTC):
            sys.exit(f"refused: {version['Key']} has the lock {mode} until {until}")
        for more in ({}, {"BypassGovernanceRetention": True}):
            try:
                bucket.s3.delete_object(**named, **more)
            except ClientError as error:
                if error.response["Error"]["Code"] != "AccessDenied":
                    raise
            else:
                sys.exit(f"refused: {version['Key']} could be deleted")
        count += 1
    if count == 0:
        sys.exit("refused: there is nothing in the bucket")
    print(count)


def restore(bucket: Bucket, key: str, version: str, directory: Path) -> None:
    """Follows the manifests back from one; what was copied last counts."""
    waiting = [{"key": key, "version_id": version, "sha256": None}]
    done = set()
    while waiting:
        named = waiting.pop(0)
        if named["key"] in done:
            continue
        done.add(named["key"])
        manifest = json.loads(checked(bucket, named))
        for copy in manifest["objects"]:
            path = directory / copy["path"]
            content = checked(bucket, copy)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        waiting += [manifest[name] for name in ("part", "previous") if manifest.get(name)]


def checked(bucket: Bucket, named: dict) -> bytes:
    content = bucket.read(named["key"], VersionId=named["version_id"])
    if named["sha256"] not in (None, hashlib.sha256(content).hexdigest()):
        sys.exit(f"refused: {named['key']} is not what the manifest says")
    return content


def latest(bucket: Bucket, directory: Path) -> None:
    """What stands under each name now, as whoever does not ask for versions gets it."""
    found = {version["Key"].removeprefix(f"{bucket.prefix}/") for version in bucket.versions()}
    size = max(int(key.split("/")[1]) for key in found if key.startswith("at/"))
    tail = f"at/{size}/"
    for key in found:
        if key.startswith(("tile/", tail)):
            path = directory / key.removeprefix(tail)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bucket.read(key))


def overlay(bucket: Bucket) -> None:
    keys = {version["Key"] for version in bucket.versions()}
    for key in (key for key in keys if "tile/entries/" in key):
        content = bytearray(bucket.s3.get_object(Bucket=bucket.name, Key=key)["Body"].read())
        # After the length of the first entry.
        content[2] ^= 1
        bucket.s3.put_object(Bucket=bucket.name, Key=key, Body=bytes(content))


def main(endpoint: str, command: str, name: str, *arguments: str) -> None:
    if command == "make":
        bucket = Bucket(endpoint, name)
        bucket.s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        return
    prefix, *rest = arguments
    bucket = Bucket(endpoint, name, prefix)
    if command == "locked":
        locked(bucket)
    elif command == "restore":
        restore(bucket, rest[0], rest[1], Path(rest[2]))
    elif command == "latest":
        latest(bucket, Path(rest[0]))
    elif command == "overlay":
        overlay(bucket)


if __name__ == "__main__":
    main(*sys.argv[1:])
