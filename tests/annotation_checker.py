"""The annotation checker that stands in front of every function of dlcore in a test run."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int passes as a float, as in PEP 484
