"""What if the data that count are not distributed like the data at hand?"""

__all__: list[str] = []
