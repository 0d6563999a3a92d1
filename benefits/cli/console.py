"""How commands speak to whoever typed them; results that a program reads go to standard output."""

from rich.console import Console

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
