"""What a page may load: a content security policy in its head, which the browser enforces.

Only this site's own files, whatever somebody injects. Scripts in the page run if their hash is in
its policy, that is, if they were in it when it was built. Styles in the page are allowed as they
are: MathJax and Font Awesome write theirs while the page is open, so no hash can be known before.
"""

import base64
import hashlib
import re
from html import unescape

INLINE = re.compile(
    r"<script(?![^>]*\ssrc=)(?![^>]*\stype=\"application/json\")[^>]*>(.*?)</script>", re.S
)
HANDLER = re.compile(r"\son\w+=\"([^\"]*)\"")
HEAD = re.compile(r"<meta charset=[^>]*>")


def sources(codes: set[str]) -> str:
    """Return the hashes of pieces of code, as a policy names them."""
    digests = [hashlib.sha256(code.encode()).digest() for code in sorted(codes)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def handlers(html: str) -> set[str]:
    """Return the scripts in attributes, such as onclick."""
    return {unescape(code) for code in HANDLER.findall(html)}


def policy(html: str, attributes: set[str]) -> str:
    """Return the policy of a page in a site where attributes hold these scripts.

    All of the site's, not the page's alone: the search reads other pages to quote from them, and
    the browser holds what it reads to the policy of the page that reads.
    """
    scripts = sources(set(INLINE.findall(html)))
    rules = {
        "default-src": "'self'",
        "script-src": f"'self' {scripts}".strip(),
        "script-src-attr": f"'unsafe-hashes' {sources(attributes)}" if attributes else "'none'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def protect(html: str, attributes: set[str]) -> str:
    """Return the page with its policy before everything that it loads."""
    head = HEAD.search(html)
    if not head:
        raise ValueError("a page without <meta charset> has no place for its policy")
    tag = f'<meta http-equiv="Content-Security-Policy" content="{policy(html, attributes)}" />'
    return f"{html[: head.end()]}\n    {tag}{html[head.end() :]}"


def redirect(target: str) -> str:
    """Return a page that only sends the reader on."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n  <head>\n    <meta charset="utf-8" />\n'
        f'    <meta http-equiv="refresh" content="0; url={target}" />\n'
        "    <title>The T2 book</title>\n  </head>\n"
        f'  <body><a href="{target}">The T2 book</a></body>\n</html>\n'
    )
