"""What a programme may not be on a production database, though it reads well."""

from benefits.domain.programme import Programme, ProgrammeInvalid

_HERE = ("localhost", "127.", "[::1]", "0.0.0.0")  # noqa: S104 - compared with, not bound to


def check_for_production(programme: Programme) -> None:
    """Refuse providers on this machine or without TLS: those are for demos (ProgrammeInvalid).

    Nobody is called for codes in stock, nor for what the bank does itself: they have no address.
    """
    for index, provider in enumerate(programme.provider):
        if provider.is_stock or provider.is_internal:
            continue
        host = provider.url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        if host.lower().startswith(_HERE):
            raise ProgrammeInvalid(
                f"provider[{index}].url: on a production database no provider is this machine"
            )
        if not provider.url.startswith("https://"):
            raise ProgrammeInvalid(f"provider[{index}].url: a production database needs https")
