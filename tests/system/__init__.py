"""Tests of the Debian package and its units on booted machines. They need root; see conftest.py."""
