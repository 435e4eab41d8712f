"""The eighteen faults of an authority, each as one change to the mean authority, for tests that try them all alike.

The tests of `tests/certificates/test_faults.py` say what each fault leads to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from support.authority import free_port
from support.mean_authority import Asked, MeanAuthority, Reply, signed_anew

NAME = "faulty.example"
Settings = dict[str, object]


def refused(mean: MeanAuthority, folder: Path) -> Settings:
    return {"acme_directory": f"https://localhost:{free_port()}/dir"}


def silent(mean: MeanAuthority, folder: Path) -> Settings:
    mean.before = lambda asked: mean.silence.wait(60) and None
    return {}


def repaired(mean: MeanAuthority, folder: Path) -> Settings:
    mean.before = lambda asked: Reply(503, {"Content-Type": "text/html", "Retry-After": "3600"}, b"<h1>Be back soon</h1>")
    return {}


def limited(mean: MeanAuthority, folder: Path) -> Settings:
    return at_orders(mean, Reply.problem(429, "rateLimited", "too many", **{"Retry-After": "7200", "Replay-Nonce": "x"}))


def at_orders(mean: MeanAuthority, reply: Reply) -> Settings:
    mean.before = lambda asked: reply if asked.path == "/order-plz" else None
    return {}


def lost_nonces(mean: MeanAuthority, folder: Path) -> Settings:
    bad = Reply.problem(400, "badNonce", "never heard of it", **{"Replay-Nonce": "n"})
    mean.before = lambda asked: bad if asked.method == "POST" else None
    return {}


def elsewhere(mean: MeanAuthority, folder: Path) -> Settings:
    mean.authority.set_dns("add-a", host=f"{NAME}.", addresses=["127.0.0.3"])
    return {}


def processing(asked: Asked, reply: Reply) -> None:
    if asked.path.startswith(("/finalize-order/", "/my-order/")) and b'"finalize"' in reply.content:
        reply.edit(lambda order: order.update(status="processing") if order["status"] == "valid" else None)


def for_ever(mean: MeanAuthority, folder: Path) -> Settings:
    mean.after = processing
    return {}


def no_issuer(mean: MeanAuthority, folder: Path) -> Settings:
    end = b"-----END CERTIFICATE-----\n"

    def after(asked: Asked, reply: Reply) -> None:
        if asked.path.startswith("/certZ/"):
            reply.content = reply.content.split(end)[0] + end

    mean.after = after
    return {}


def signed(*extra: str, names: str = f"DNS:{NAME}", start: str | None = None) -> Callable[[MeanAuthority, Path], Settings]:
    def fault(mean: MeanAuthority, folder: Path) -> Settings:
        folder.mkdir(parents=True, exist_ok=True)
        wanted: list[Asked] = []

        def before(asked: Asked) -> None:
            if asked.path.startswith("/finalize-order/"):
                wanted.append(asked)

        def after(asked: Asked, reply: Reply) -> None:
            if asked.path.startswith("/certZ/"):
                reply.content = signed_anew(folder, wanted[-1], *extra, names=names, start=start)

        mean.before, mean.after = before, after
        return {}

    return fault


def lost_account(mean: MeanAuthority, folder: Path) -> Settings:
    return at_orders(mean, Reply.problem(400, "accountDoesNotExist", "who is it?", **{"Replay-Nonce": "x"}))


def replaced(mean: MeanAuthority, folder: Path) -> Settings:
    return at_orders(mean, Reply.problem(409, "alreadyReplaced", "once is enough", **{"Replay-Nonce": "x"}))


def strange_advice(mean: MeanAuthority, folder: Path) -> Settings:
    mean.window = Reply(500, {}, b"oops")
    return {}


def no_advice(mean: MeanAuthority, folder: Path) -> Settings:
    mean.has_advice = False
    return {}


def no_tokens(mean: MeanAuthority, folder: Path) -> Settings:
    def after(asked: Asked, reply: Reply) -> None:
        if asked.path.startswith("/authZ/"):
            reply.edit(lambda found: [challenge.pop("token", None) for challenge in found["challenges"]])

    mean.after = after
    return {}


def full_disk(mean: MeanAuthority, folder: Path) -> Settings:
    """The file of the certificate cannot be replaced: a folder has its place."""
    certificates = folder / f"acme/certificates/{NAME}"
    certificates.mkdir(parents=True, mode=0o700)
    (certificates / "state.json").mkdir(mode=0o700)
    return {"acme_storage": str(folder)}


def wrong_clock(mean: MeanAuthority, folder: Path) -> Settings:
    def after(asked: Asked, reply: Reply) -> None:
        reply.headers["Date"] = formatdate(time.time() - 2 * 86_400, usegmt=True)

    mean.after = after
    return {}


# Each fault with a part of the sentence in the log, if the server says one at once.
FAULTS: dict[str, tuple[Callable[[MeanAuthority, Path], Settings], str | None]] = {
    "1 refused": (refused, "Connection refused"),
    "2 silent": (silent, None),
    "3 repaired": (repaired, "status 503"),
    "4 limited": (limited, "too many"),
    "5 nonces": (lost_nonces, "never heard of it"),
    "6 elsewhere": (elsewhere, "127.0.0.3"),
    "7 for ever": (for_ever, None),
    "8 no issuer": (no_issuer, "issuer is not behind it"),
    "9 another key": (signed("-force_pubkey", "ca.pub"), "does not match"),
    "10 fewer names": (signed(names="DNS:other.example"), "only for other.example"),
    "11 not yet valid": (signed(start="20900101000000Z"), "later than now"),
    "12 no account": (lost_account, "who is it?"),
    "13 replaced": (replaced, "once is enough"),
    "14 advice": (strange_advice, "was obtained"),
    "15 no advice": (no_advice, "was obtained"),
    "16 no tokens": (no_tokens, "no challenge for"),
    "17 full disk": (full_disk, "cannot be written"),
    "18 clock": (wrong_clock, "is not taken"),
}
