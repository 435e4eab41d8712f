"""Pages from templates of Jinja2, with the functions that pages need."""

from __future__ import annotations

import difflib
import mimetypes
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._handlers.current import CURRENT, wish
from .._outside import Response
from . import addresses, csrf, session

if TYPE_CHECKING:
    import jinja2

_ESCAPED = (".html", ".htm", ".xhtml", ".xml", ".svg")


class Page(Response):
    """A page of a template. As the answer of an error handler it has the status of the error, unless it was given one."""

    _status_is_open = False


class Templates:
    """The templates of a folder: `templates("page.html", name=value)` is the answer with that page.

    A folder that is no absolute path is looked for beside the file that calls this, then in the working directory. In `.html`,
    `.xml` and `.svg` values are escaped. `reload`: whether a template that has changed is read again; `None`: under `--reload`.
    """

    def __init__(self, folder: str | os.PathLike[str] = "templates", *, reload: bool | None = None, **options: Any) -> None:
        caller = sys._getframe(1)
        origin = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        try:
            import jinja2

            from .template_environment import Environment
        except ImportError:
            raise ImportError(
                f"{origin}: Templates(...) needs Jinja2, which is not installed: pip install jinja2",
                name="jinja2",
            ) from None
        self.folder = _found(os.fspath(folder), caller.f_code.co_filename, origin)
        reloads = os.environ.get("OUTSIDE_RELOADER") is not None if reload is None else reload
        given = {"autoescape": _is_escaped, "auto_reload": reloads, **options}
        self.environment: jinja2.Environment = Environment(loader=jinja2.FileSystemLoader(self.folder), **given)
        self.environment.globals.update(
            url_for=addresses.url_for,
            static_url=addresses.static_url,
            request=_Current(_request),
            session=_Current(_session),
            flashes=session.flashes,
            get_flashed_messages=_get_flashed_messages,
            csrf_field=_csrf_field,
            csrf_token=csrf.csrf_token,
        )
        self._known: dict[str, tuple[jinja2.Template, str]] | None = None if reloads else {}
        wish()

    def __call__(
        self, name: str, /, *, status_code: int | None = None, headers: Mapping[str, Any] | None = None, **values: Any
    ) -> Page:
        """The answer with this page. `values` are variables of the template."""
        template, media_type = self._template(name)
        page = Page(
            200 if status_code is None else status_code,
            {"Content-Type": media_type, **(headers or {})},
            template.render(values),
        )
        if status_code is None:
            page._status_is_open = True
        return page

    def render(self, name: str, /, **values: Any) -> str:
        """The text of a page, for mail and the like."""
        return self._template(name)[0].render(values)

    def _template(self, name: str) -> tuple[jinja2.Template, str]:
        if self._known is not None and (known := self._known.get(name)):
            return known
        import jinja2

        try:
            template = self.environment.get_template(name)
        except jinja2.TemplateNotFound as error:
            if error.name != name:
                raise
            caller = sys._getframe(2)
            raise FileNotFoundError(
                f"{caller.f_code.co_filename}:{caller.f_lineno}: {self.folder} has no template {name!r}{self._nearest(name)}"
            ) from None
        made = (template, _media_type(name))
        if self._known is not None:
            self._known[name] = made
        return made

    def _nearest(self, name: str) -> str:
        names = self.environment.list_templates()
        close = difflib.get_close_matches(name, names, 1)
        return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(names[:10]) or 'none'}"

    def __repr__(self) -> str:
        return f"Templates({self.folder!r})"


def _found(folder: str, caller: str, origin: str) -> str:
    beside = os.path.join(os.path.dirname(os.path.abspath(caller)), folder)
    for path in (beside, os.path.abspath(folder)):
        if os.path.isdir(path):
            return path
    raise FileNotFoundError(f"{origin}: there is no folder {beside!r} for templates")


def _is_escaped(name: str | None) -> bool:
    # Text that comes from no file is taken for HTML.
    return (
        name is None
        or name.lower().endswith(_ESCAPED)
        or name.lower().removesuffix(".jinja").removesuffix(".j2").endswith(_ESCAPED)
    )


def _media_type(name: str) -> str:
    plain = name.removesuffix(".jinja").removesuffix(".j2")
    media_type = mimetypes.guess_type(plain)[0] or "text/html"
    is_text = media_type.startswith("text/") or media_type in ("application/javascript", "application/xml", "image/svg+xml")
    return f"{media_type}; charset=utf-8" if is_text else media_type


def _request() -> Any:
    return session.current_request("a template")


def _session() -> Any:
    return _request().session


def _get_flashed_messages(with_categories: bool = False, category_filter: Iterable[str] = ()) -> list[Any]:
    """Flask's name of `flashes`, with its parameters, for templates that come from there."""
    wanted = set(category_filter)
    kept = [pair for pair in session.flashes(with_categories=True) if not wanted or pair[0] in wanted]
    return kept if with_categories else [message for _, message in kept]


def _csrf_field() -> Any:
    from markupsafe import Markup

    return Markup('<input type="hidden" name="{}" value="{}">').format(csrf.FIELD, csrf.csrf_token())


class _Current:
    """A value of the request that is being handled, found when a template looks at it."""

    __slots__ = ("_find",)

    def __init__(self, find: Any) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __getitem__(self, name: Any) -> Any:
        return self._find()[name]

    def __contains__(self, name: Any) -> bool:
        return name in self._find()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._find())

    def __len__(self) -> int:
        return len(self._find())

    def __bool__(self) -> bool:
        return CURRENT.get() is not None and bool(self._find())

    def __str__(self) -> str:
        return str(self._find())
