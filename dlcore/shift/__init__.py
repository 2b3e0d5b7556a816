"""What if the data that count are not distributed like the data at hand?"""

from . import detect

__all__ = ["detect"]
