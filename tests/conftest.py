"""Its being here puts this folder on the path: `tiny_recipe` and others are shared by the tests below."""
