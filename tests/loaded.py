"""Load every module of the product, for processes that are forked from the one that did."""

import pkgutil
from importlib import import_module

import benefits

for found in pkgutil.walk_packages(benefits.__path__, "benefits."):
    if not found.name.endswith("__main__"):
        import_module(found.name)
