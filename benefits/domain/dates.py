"""How a day is written for people, in each language."""

from datetime import date

ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def english_date(day: date) -> str:
    """Write a day in English: 1 March 2025."""
    return f"{day.day} {ENGLISH_MONTHS[day.month - 1]} {day.year}"


def chinese_date(day: date) -> str:
    """Write a day in Chinese: 2025年3月1日."""
    return f"{day.year}年{day.month}月{day.day}日"
