"""Artifacts as code that runs asks for them: by key, straight after they were made. May import: client, core."""

from __future__ import annotations

from surefoot.client import get_client
from surefoot.core.wire import Artifact, ArtifactFilter

__all__ = ["EmbeddedArtifacts"]


class EmbeddedArtifacts:
    """`Artifacts`, by the client that the settings in force name."""

    def __init__(self) -> None:
        self._client = get_client()

    def latest(self, key: str) -> Artifact | None:
        page = self._client.artifacts(ArtifactFilter(key=[key]), limit=1)
        return self._client.find_artifact(page.results[0].id) if page.results else None

    def content(self, artifact_id: str) -> bytes:
        return self._client.artifact_content(artifact_id)

    def close(self) -> None:
        self._client.close()
