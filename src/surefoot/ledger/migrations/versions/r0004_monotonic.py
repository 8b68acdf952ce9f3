"""Revision 0004: when a writer was last heard by its monotonic time, so that a clock that was set changes no duration.

What is said here stands as it is, whatever `tables.py` will say one day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column. Of writers that were heard before nothing is known."""
    op.add_column("writers", sa.Column("mono_us", sa.BigInteger(), nullable=True))
