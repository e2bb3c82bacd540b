"""What all tables share: one metadata with named constraints, and the column types in one place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Double,
    Integer,
    MetaData,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}

TIMESTAMP = DateTime(timezone=True)
TEXTS = ARRAY(Text)
DOCUMENT = JSON
"""A document that comes back as it went in.

``json`` keeps the text; ``jsonb`` would lose the sign of -0.0 and the exponent of 1e16, and with them every hash
over the document. What is queried has a column of its own. In Python the value is the JSON text: the contract models
read and write it without a detour over dicts.
"""


class Table(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMING_CONVENTION))):
    """Base of all tables; rows never leave ``infra.db``."""


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """A CHECK that ``column`` is one of ``values``."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def check(name: str, condition: str) -> CheckConstraint:
    """A named CHECK."""
    return CheckConstraint(condition, name=name)


def text_column(**options: Any) -> Any:
    """A ``text`` column."""
    return Field(sa_type=Text, **options)


def integer_column(**options: Any) -> Any:
    """An ``integer`` column."""
    return Field(sa_type=Integer, **options)


def bigint_column(**options: Any) -> Any:
    """A ``bigint`` column."""
    return Field(sa_type=BigInteger, **options)


def double_column(**options: Any) -> Any:
    """A ``double precision`` column."""
    return Field(sa_type=Double, **options)


def flag_column(*, default: bool) -> Any:
    """A ``boolean`` column with its default in the database too."""
    written = {"server_default": text("true" if default else "false")}
    return Field(default=default, sa_type=Boolean, nullable=False, sa_column_kwargs=written)


def uuid_column(**options: Any) -> Any:
    """A ``uuid`` column."""
    return Field(sa_type=Uuid, **options)


def texts_column(**options: Any) -> Any:
    """A ``text[]`` column."""
    return Field(sa_type=TEXTS, **options)


def document_column(**options: Any) -> Any:
    """A ``json`` column; see :data:`DOCUMENT`."""
    return Field(sa_type=DOCUMENT, **options)


def moment_column(**options: Any) -> Any:
    """A ``timestamptz`` column."""
    return Field(sa_type=TIMESTAMP, **options)


def written_at_column() -> Any:
    """When the row was written, by the database's clock."""
    return Field(default=None, sa_type=TIMESTAMP, nullable=False, sa_column_kwargs={"server_default": CLOCK})


CLOCK = text("clock_timestamp()")
