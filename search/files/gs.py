"""``gs://BUCKET/PREFIX``: Google's, or an emulator at STORAGE_EMULATOR_HOST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from search.files.bucket import BucketStore, needs


class Store(BucketStore):
    """Credentials come from where Google's library looks for them."""

    def connected(self, bucket: str) -> tuple[Any, tuple[type[Exception], ...]]:
        try:
            from google.api_core.exceptions import GoogleAPIError, NotFound  # noqa: PLC0415 - for who says gs:// alone
            from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
            from google.cloud import storage  # noqa: PLC0415
        except ModuleNotFoundError:
            raise needs("google-cloud-storage", "gs") from None
        from optuna.artifacts import GCSArtifactStore  # noqa: PLC0415

        self._gone = NotFound
        self._client = storage.Client()
        return GCSArtifactStore(bucket, self._client), (GoogleAPIError, GoogleAuthError)

    def remove(self, name: str) -> None:
        try:
            super().remove(name)
        except OSError as error:
            if not isinstance(error.__cause__, self._gone):
                raise

    def listed(self, bucket: str, prefix: str) -> Iterator[str]:
        for one in self._client.list_blobs(bucket, prefix=prefix):
            yield one.name
