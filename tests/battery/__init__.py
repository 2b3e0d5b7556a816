"""Checks that are too long for each test run: thousands of random problems, and sums over 10⁷ entries and more.

``tox run -e battery`` runs them all and prints a table; ``-- searches --problems 200`` runs a part of one. Each problem
has a number. ``--first 17 --problems 1`` repeats problem 17 alone.
"""
