"""The words of an HTML page, for tests of reports."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "source", "wbr", "path", "polyline", "polygon", "circle", "rect"}


class Words(HTMLParser):
    """The text of a page, and which elements are still open."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
