"""What several tests share.

Importing it sets the profile of every search: no deadline for a single example, because a machine that is busy
with something else is not a fault of ours.
"""

from hypothesis import settings

settings.register_profile("wuji", deadline=None)
settings.load_profile("wuji")
