"""Months as commands read them."""

import rich_click as click

from benefits.domain.values import Month


def month_of(text: str, option: str) -> Month:
    """Read the month that an option names."""
    try:
        return Month.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
