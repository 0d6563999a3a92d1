"""The benefits page (财富权益): server-rendered, at phone size, in Chinese and English."""

from typing import Any

HANDLERS: list[Any] = []
