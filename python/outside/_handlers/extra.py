"""Fields that an answer gets whichever function makes it: of a refused sign-in, of a limit."""

from .._outside import Request, Response

_NAME = "_answer_fields"


class Added:
    """Whether any request of this process has got such fields: until then answers need not be asked for theirs."""

    is_any = False


def add_header(request: Request, name: str, value: str) -> None:
    """Gives the answer to this request a field, unless the answer has it."""
    Added.is_any = True
    request.__dict__.setdefault(_NAME, {})[name] = value


def add_headers(request: Request, fields: dict[str, str]) -> None:
    """The same for several fields."""
    if fields:
        Added.is_any = True
        request.__dict__.setdefault(_NAME, {}).update(fields)


def add_to(request: Request, response: Response) -> None:
    """Adds these fields."""
    fields = request.__dict__.get(_NAME)
    if fields:
        for name, value in fields.items():
            response.headers.setdefault(name, value)
