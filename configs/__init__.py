"""Recipes: each file has one function `config() -> Recipe`; a derived file changes a few fields of another."""
