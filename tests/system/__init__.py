"""The Debian package and the units, tried on booted machines. Needs root; conftest.py says what happens without."""
