"""The page that lists a folder, as a browser reads it."""

from __future__ import annotations

from html.parser import HTMLParser


class Links(HTMLParser):
    """The targets and texts of a page's links, and whether anything in it could run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.events: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.events += [name for name, _ in attributes if name.startswith("on")]
        if tag == "a":
            self.links.append((dict(attributes)["href"] or "", ""))
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "a"

    def handle_data(self, data: str) -> None:
        if self.inside:
            href, text = self.links[-1]
            self.links[-1] = (href, text + data)
