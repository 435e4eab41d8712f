"""Makes the corpus of paths that try to leave a folder, and says which answer each of them must get.

`python -m support.path_corpus`, called in `tests`, writes tests/corpus/paths/escapes.txt, which is committed; a test compares the
two. The verdict is not taken from the server: `verdict` here is the rule, written a second time, over the tree that `grow` makes.
One line per path:

    VERDICT<tab>the path below the route, in the escapes of corpus_reader.py

Verdicts: a status; `200 NAME`, that file of the folder; `301`, to the same path with a slash; `root`, the path has left the
route (dot segments are removed before routing), so another route answers; `guarded`, a route within the folder's answers.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from support.corpus_reader import unescape

PLACE = Path(__file__).parents[1] / "corpus" / "paths" / "escapes.txt"
SECRET = "this must never leave"

# The files of the folder; a name that ends with a slash is a folder without an index.
INSIDE = [
    "index.html",
    "a.txt",
    "sub/b.txt",
    "sub/deep/c.txt",
    "docs/index.html",
    "with space.txt",
    "100%.txt",
    "q?.txt",
    "h#.txt",
    "ü.txt",
    "a..b/c.txt",
    "d..txt",
    "%2e%2e/d.txt",
    "sub%2fb.txt",
    "%00.txt",
    ".well-known/security.txt",
]
# Lies in the folder too, and is not to be seen.
HIDDEN = [
    ".env",
    ".git/config",
    "sub/.secret",
    "sub/.well-known/x.txt",
    ".well-known/.hidden",
    ".../dots.txt",
    "..a/dots.txt",
    "back\\slash.txt",
    "private/secret.txt",
]
# Lies beside and above it.
OUTSIDE = [
    "secret.txt",
    "public-secret/secret.txt",
    "publicsecret.txt",
    "public.txt",
    "Public/secret.txt",
    "s/secret.txt",
    "a.txt~/x",
]

DOTS = (
    "..", "%2e%2e", ".%2e", "%2e.", "%2E%2E", "%252e%252e", "%25252e%25252e", "%c0%ae%c0%ae", "%c0%2e%c0%2e",
    "%e0%80%ae%e0%80%ae", "%f0%80%80%ae%f0%80%80%ae", "%f8%80%80%80%ae%f8%80%80%80%ae", "%ef%bc%8e%ef%bc%8e",
    "%e2%80%a5", "%u002e%u002e", "..%00", "%00..", "..%20", "%20..", "..%09", "..%0a", "..%0d%0a", "..;", "..;a=b",
    "...", "....", "..%01", "..%7f", "..%ff", "..::$DATA", "~", "%7e", "%2e%2e%2e", "%2e", ".",
)  # fmt: skip
SLASHES = (
    "/", "%2f", "%2F", "\\\\", "%5c", "%5C", "%252f", "%255c", "%c0%af", "%c1%9c", "%c0%2f", "%e0%80%af", "%ef%bc%8f",
    "%e2%88%95", "%u2215", "//", "/./", "/%2e/", "%2f%2f", "/%2f", "%2f/", ";/", "/;/", "%00/", "\\\\/", ":",
)  # fmt: skip
WINDOWS = (
    "/CON", "/nul", "/aux.txt", "/COM1", "/lpt1.txt", "/C:", "/C:/secret.txt", "/c:%5csecret.txt",
    "/c:\\\\secret.txt", "/%5c%5chost%5cshare", "/\\\\\\\\host\\\\share", "/a.txt::$DATA", "/a.txt:stream", "/a.txt.",
    "/a.txt..", "/a.txt...", "/a.txt%20", "/a.txt%20%20", "/INDEX~1.HTM", "/index.html%2e", "/a.txt%c2%a0",
    "/sub./b.txt", "/sub%20/b.txt", "/%3f%3f/C:/", "/.%5ca.txt", "/sub%5cb.txt", "/sub\\\\b.txt", "/..%5csecret.txt",
    "/back%5cslash.txt", "/back\\\\slash.txt", "/%5c..%5csecret.txt", "/GLOBALROOT/",
)  # fmt: skip
HARMLESS = (
    "", "/", "/?../secret.txt", "/a.txt", "/a.txt?/../../secret.txt", "/%61.txt", "/%61%2e%74%78%74", "/./a.txt",
    "/././a.txt", "/%2e/a.txt", "/sub/../a.txt", "/sub/%2e%2e/a.txt", "/sub/deep/../../a.txt", "/nothing/../a.txt",
    "/sub/b.txt", "/sub/./b.txt", "/sub/deep/../b.txt", "/sub/deep/c.txt", "/docs", "/docs/", "/docs/.",
    "/docs/index.html", "/sub/..", "/sub/../", "/sub/%2e%2e", "/with%20space.txt", "/100%25.txt", "/q%3f.txt",
    "/q%3F.txt", "/h%23.txt", "/%c3%bc.txt", "/%C3%BC.txt", "/a..b/c.txt", "/d..txt", "/%252e%252e/d.txt",
    "/%252E%252E/d.txt", "/sub%252fb.txt", "/%2500.txt", "/.well-known/security.txt", "/%2ewell-known/security.txt",
    "/sub/../.well-known/security.txt", "/../s/a.txt", "/../../s/sub/b.txt", "/%2e%2e/s/a.txt",
)  # fmt: skip
HIDING = (
    "/.env", "/%2eenv", "/.%65nv", "/.env/", "/.ENV", "/.git/config", "/.git", "/.git/", "/%2egit/config",
    "/.git%2fconfig", "/.git//config", "/sub/.secret", "/sub/%2esecret", "/sub/../.env", "/sub/./.secret",
    "/sub/.well-known/x.txt", "/.well-known/.hidden", "/.well-known", "/.well-known/", "/.well-known/../.env",
    "/.well-known/%2e%2e/.git/config", "/.well-known/..%2f.env", "/.well-knownx/a", "/.Well-Known/security.txt",
    "/.../dots.txt", "/%2e%2e%2e/dots.txt", "/..a/dots.txt", "/%2e%2ea/dots.txt", "/.htaccess", "/.DS_Store",
    "/.svn/entries", "/.well-known%2fsecurity.txt",
)  # fmt: skip
GUARDED = (
    "/private", "/private/", "/private/secret.txt", "/%70rivate/secret.txt", "/private/%73ecret.txt",
    "/./private/secret.txt", "/%2e/private/secret.txt", "/sub/../private/secret.txt",
    "/sub/%2e%2e/private/secret.txt", "/private/./secret.txt", "/private/x/../secret.txt", "/private%2fsecret.txt",
    "/private%2Fsecret.txt", "/%2fprivate/secret.txt", "//private/secret.txt", "///private/secret.txt",
    "/private%5csecret.txt", "/private\\\\secret.txt", "/PRIVATE/secret.txt", "/Private/secret.txt",
    "/private;/secret.txt", "/private;a=b/secret.txt", "/private%3b/secret.txt", "/private%20/secret.txt",
    "/private./secret.txt", "/private%00/secret.txt", "/private%09/secret.txt", "/private%c2%a0/secret.txt",
    "/priv%61te/secret.txt", "/%2570rivate/secret.txt", "/%252e/private/secret.txt", "/sub/..%2fprivate/secret.txt",
    "/sub%2f../private/secret.txt", "/.%2fprivate/secret.txt",
    "/%70%72%69%76%61%74%65/%73%65%63%72%65%74%2e%74%78%74", "/private//secret.txt",
    "/sub/deep/../../private/secret.txt", "/private/../a.txt", "/private/../private/secret.txt",
    "/p%c0%b2ivate/secret.txt", "/private?/../a.txt", "/%ef%bd%90rivate/secret.txt",
)  # fmt: skip
MALFORMED = (
    "/%", "/%2", "/%zz", "/%%32%65", "/%2%65", "/%u002e", "/a.txt%", "/a.txt%0", "/%00", "/a.txt%00",
    "/a.txt%00.html", "/%00/a.txt", "/\\0", "/a.txt\\0", "/\\xff", "/\\xc0\\xae", "/a\\tb", "/a#b",
    "/#/../secret.txt", "/..#", "/%-1", "/%+2e%+2e/secret.txt", "/% 2e", "/%2e%2", "/\\x80", "/\\x7f",
)  # fmt: skip
LONG = (
    "/\\{8100*.}", "/\\{4096*.}", "/\\{2700*../}secret.txt", "/\\{1300*../}etc/passwd", "/\\{800*%2e%2e/}etc/passwd",
    "/\\{4096*a}", "/\\{256*a}", "/\\{255*a}", "/\\{2000*a/}", "/\\{2000*./}a.txt", "/\\{1000*sub/../}a.txt",
    "/\\{1000*sub/../}../secret.txt", "/\\{4000*/}a.txt", "/\\{2000*%2f}a.txt", "/\\{2000*%5c}a.txt",
    "/\\{1000*..%2f}secret.txt", "/\\{9000*.}", "/\\{9000*a}", "/\\{3000*%41}", "/\\{85*%c3%bc}",
    "/\\{1300*a/../}a.txt", "/\\{4000*.}/\\{4000*.}",
)  # fmt: skip
ODDITIES = (
    "x", "-secret/secret.txt", "secret.txt", ".txt", "%2e%2e/secret.txt", "%2f../secret.txt", "/a.txt/", "/a.txt//",
    "/a.txt/.", "/a.txt/..", "/a.txt/../secret.txt", "/a.txt/../../secret.txt", "/a.txt%2f",
    "/a.txt%2f..%2f..%2fsecret.txt", "/a.txt/b", "//", "///", "//a.txt", "//etc/passwd", "///etc/passwd",
    "/%2fetc/passwd", "/%2Fetc%2Fpasswd", "/etc/passwd", "/file:///etc/passwd", "/http://a/../../secret.txt",
    "/sub//b.txt", "/sub//../a.txt", "/sub/..//a.txt", "/sub///../../a.txt", "/sub", "/sub/", "/a.txt%0a",
    "/a.txt%0d%0aX-Split:%20yes", "/%0d%0aSet-Cookie:%20a=b", "/docs%0d%0aLocation:%20/", "/A.TXT", "/u%cc%88.txt",
    "/%fc.txt", "/%ff%fe", "/%ed%a0%80", "/*", "/%2a", "/?", "/a.txt;", "/a.txt;a=b", "/a.txt,", "/$HOME/secret.txt",
    "/${HOME}", "/`id`", "/|id", "/~root/", "/proc/self/environ", "/dev/zero", "/&", "/=", "/+", "/\"a.txt\"",
    "/'a.txt'", "/<a>", "/%3Ca%3E",
)  # fmt: skip


def all_suffixes() -> list[str]:
    """Everything that is put behind the route, escaped, each once, in a stable order."""
    suffixes = [*HARMLESS, *HIDING, *GUARDED, *MALFORMED, *WINDOWS, *ODDITIES, *LONG]
    for dots, slash in itertools.product(DOTS, SLASHES):
        suffixes.append(f"/{dots}{slash}secret.txt")
    for dots, slash, depth in itertools.product(DOTS[:16], SLASHES[:10], (2, 5)):
        suffixes.append("/sub" + slash + (dots + slash) * depth + "etc/passwd")
    for dots, name in itertools.product(DOTS[:18], OUTSIDE[1:]):
        suffixes += [f"/{dots}/{name}", f"/sub/{dots}/{dots}/{name}", f"/{dots}%2f{name}"]
    return list(dict.fromkeys(suffixes))


def decode(segment: bytes) -> str:
    return unquote_to_bytes(segment).decode("utf-8", "replace")


def resolve(path: bytes) -> tuple[int, str, list[bytes]]:
    """Status (0: none yet), url, and the segments of a path as received, dot segments removed."""
    if re.search(rb"%(?![0-9A-Fa-f]{2})", path) or b"%00" in path or re.search(rb"[^\x21-\x7e]|#", path):
        return 400, "", []
    kept: list[bytes] = []
    ends_with_slash = False
    for segment in path.split(b"/")[1:]:
        name = decode(segment)
        ends_with_slash = name in (".", "..")
        if name == "..":
            del kept[-1:]
        elif name != ".":
            kept.append(segment)
    for segment in kept:
        if re.search(rb"%2f", segment, re.IGNORECASE) and {".", ".."} & set(decode(segment).split("/")):
            return 400, "", []
    if ends_with_slash or not kept:
        kept.append(b"")
    return 0, "/" + "/".join(decode(segment) for segment in kept), kept


def verdict(suffix: bytes, route: str = "/s") -> str:
    """The verdict on a request for the route with this suffix."""
    target = route.encode() + suffix
    if len(b"GET " + target + b" HTTP/1.1") > 8192:
        return "414"
    status, _, segments = resolve(target.partition(b"?")[0] if b"#" not in target else target)
    if status:
        return str(status)
    if decode(segments[0]) != route[1:] or b"%2" in segments[0].lower():
        return "root"
    segments = segments[1:]
    names = [decode(segment) for segment in segments]
    if names[:1] == ["private"]:
        return "guarded"
    if not segments:
        return "301"
    for index, name in enumerate(names):
        is_last_slash = index == len(segments) - 1 and not name
        if (not name and not is_last_slash) or "/" in name or "\\" in name:
            return "404"
        if name.startswith(".") and not (index == 0 and name == ".well-known"):
            return "404"
    path = "/".join(names)
    if path in INSIDE:
        return f"200 {path}"
    if f"{path.rstrip('/')}/index.html".lstrip("/") in INSIDE:
        return f"200 {path}index.html" if not segments[-1] else "301"
    return "404"


def lines() -> str:
    """The corpus as it is committed."""
    return "".join(f"{verdict(unescape(suffix))}\t{suffix}\n" for suffix in all_suffixes())


def read() -> list[tuple[str, bytes]]:
    """Verdict and suffix of every line."""
    rows = (line.split("\t", 1) for line in PLACE.read_text("utf-8").splitlines())
    return [(wanted, unescape(suffix)) for wanted, suffix in rows]


def grow(place: Path) -> Path:
    """The folder `public` in this place, with everything in and around it."""
    public = place / "public"
    for names, text in ((INSIDE, "inside: {}"), (HIDDEN, SECRET)):
        for name in names:
            (public / name).parent.mkdir(parents=True, exist_ok=True)
            (public / name).write_text(text.format(name), "utf-8")
    for name in OUTSIDE:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(SECRET)
    return public


if __name__ == "__main__":
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    PLACE.write_text(lines(), "utf-8")
    print(f"{len(all_suffixes())} paths in {PLACE}")
