"""Settings, as users see them: look at them, and cover some of them in tests.

    from surefoot.settings import get_current_settings

    get_current_settings().logging.level        # 'INFO'

May import: core.settings.
"""

from surefoot.core.settings import Settings, temporary_settings
from surefoot.core.settings import refresh as get_current_settings

__all__ = ["Settings", "get_current_settings", "temporary_settings"]
