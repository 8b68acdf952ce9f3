"""Revision 0003: leases, by which homes that share a ledger tell who is starting a flow run again.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "leases",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("flow_run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("granted_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("writer_id", sa.LargeBinary(16), nullable=False),
        sa.Column("home_id", sa.LargeBinary(16), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "flow_run_id"),
    )
