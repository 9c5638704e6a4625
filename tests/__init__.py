"""The profile of every search: the same examples each time, no deadline for one of them and none for drawing them.

A machine that is busy with something else is not a fault of ours.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("wuji", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wuji")
