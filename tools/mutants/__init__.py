"""Mutation testing: changes the code in small ways and asks whether the tests notice."""
