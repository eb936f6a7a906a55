"""``s3://BUCKET/PREFIX``: Amazon's, or whatever speaks as it does at AWS_ENDPOINT_URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from search.files.bucket import BucketStore, needs


class Store(BucketStore):
    """Credentials come from where boto3 looks for them: the environment, a profile, the machine's role."""

    def connected(self, bucket: str) -> tuple[Any, tuple[type[Exception], ...]]:
        try:
            import boto3  # noqa: PLC0415 - for who says s3:// alone
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        except ModuleNotFoundError:
            raise needs("boto3", "s3") from None
        from boto3.exceptions import Boto3Error  # noqa: PLC0415
        from optuna.artifacts import Boto3ArtifactStore  # noqa: PLC0415

        self._client = boto3.client("s3")
        return Boto3ArtifactStore(bucket, self._client, avoid_buf_copy=False), (BotoCoreError, ClientError, Boto3Error)

    def listed(self, bucket: str, prefix: str) -> Iterator[str]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (one["Key"] for one in page.get("Contents", ()))
