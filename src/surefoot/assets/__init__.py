"""Assets: what tasks make and others rest on, wherever it lies, with its lineage, metadata and checks.

    from surefoot.assets import Asset, materialize

May import: tasks, engine, core.
"""

from surefoot.assets.asset import Asset, AssetProperties, add_asset_metadata
from surefoot.assets.checks import Check, CheckResult, check
from surefoot.assets.materializing import MaterializingTask, materialize

__all__ = [
    "Asset",
    "AssetProperties",
    "Check",
    "CheckResult",
    "MaterializingTask",
    "add_asset_metadata",
    "check",
    "materialize",
]
