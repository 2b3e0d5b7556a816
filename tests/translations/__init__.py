"""The translations of the site: ``python -m tests.translations`` updates the catalogues and lists what is missing."""
