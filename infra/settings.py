"""What a process needs to know, from the environment (``CONCORD_…``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.egress_rules import allowed_host


class Settings(BaseSettings):
    """Settings of one process; each has the name of its variable in upper case after ``CONCORD_``."""

    model_config = SettingsConfigDict(env_prefix="CONCORD_", extra="ignore", frozen=True)

    database_url: SecretStr = Field(description="postgresql://user:password@host:port/database")
    nats_url: SecretStr = Field(description="nats://user:password@host:port")
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_task_queue: str = "concord"
    database_pool_size: Annotated[int, Field(ge=1, le=200)] = 10
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    bootstrap_key: SecretStr | None = Field(
        default=None, description="Secret of the first admin key; made at the first start of the embedded stack."
    )
    asset_roots: tuple[Path, ...] = Field(default=(), description="Folders assets may be read from; JSON list.")
    asset_hosts: tuple[Annotated[str, AfterValidator(allowed_host)], ...] = Field(
        default=(), description="Hosts (host or host:port) that https: assets may be read from; JSON list."
    )
    asset_max_bytes: Annotated[int, Field(ge=1)] = 512 * 1024 * 1024
    asset_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    event_max_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    check_processes: Annotated[int, Field(ge=1, le=64)] = 1
    check_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    pre_label_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts (host or host:port) that pre-label requests may go to; JSON list."
    )
    webhook_hosts: tuple[Annotated[str, AfterValidator(allowed_host)], ...] = Field(
        default=(), description="Hosts (host or host:port) that webhooks may be posted to; JSON list."
    )
    webhook_timeout_s: Annotated[float, Field(gt=0, le=40)] = 15.0
    anchor_file: Path | None = Field(
        default=None,
        description="A file outside of the database that the ingester appends the heads of all audit chains to; "
        "events tell them without one.",
    )
    anchor_every_s: Annotated[float, Field(ge=1, le=31_536_000)] = 86_400.0
    retention_every_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        default=3_600.0, description="How often the ingester looks for what projects no longer keep."
    )
    standing_every_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        default=3_600.0, description="How often the ingester judges pauses and earned skills again."
    )
    log_level: str = "INFO"
    log_format: str = Field(default="json", pattern="^(json|console)$")
    alive_file: Path | None = Field(default=None, description="A file to touch as a sign of life, for a supervisor.")
