"""JSON by the engine: what is read, what is written, and where both differ from Python's module `json`."""

from __future__ import annotations

import datetime
import json
import math
import random
import struct
from dataclasses import dataclass

import msgspec
import pydantic
import pytest

from outside import HTTPException, Request, _outside

JSON_TYPE = {"Content-Type": "application/json"}


def request_of(content: bytes, headers: dict | None = None) -> Request:
    return Request("POST", JSON_TYPE if headers is None else headers, content, "HTTP/1.1", "/", ("127.0.0.1", 5000))


def of_standard_library(value) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").decode()


# --- Reading

# One text of each kind of nst/JSONTestSuite: those that each reader takes, those that none takes, and those that are free.
TAKEN = [
    *("[]", "[[]   ]", '[""]', "[]\n", " [1]", "[1,null,1,2]", "[null]", "true", '"a"', "42", "-0.1", "\t[1]\r\n", "[-0]"),
    *("[123e65]", "[0e+1]", "[0e1]", "[1E22]", "[1E-2]", "[1E+2]", "[123.456e78]", "[-123]", "[0.000000000000001]"),
    *('{"a":[]}', '{"a":1,"a":2}', '{"":0}', '{"foo\\u0000bar": 42}', '{"a":null}', '{"a" : 1 , "b":2}'),
    *(
        '["\\u0060\\u012a\\u12AB"]',
        '["\\uD801\\udc37"]',
        '["\\"\\\\\\/\\b\\f\\n\\r\\t"]',
        '["\\u0000"]',
        '["asd "]',
        '["⍂㈴⍂"]',
        '["\u007f"]',
    ),
    *('["\u2028"]', '["\\uDFFF"]', '["\\uD888\\u1234"]', '["\\uD800"]', '["\\uD800\\n"]', "[" * 200 + "]" * 200),
    *("[9223372036854775807]", "[9223372036854775808]", "[-9223372036854775809]", "[123123123123123123123123123123]"),
    *("[1.7976931348623157e308]", "[5e-324]", "[1e-400]", "[0.0]"),
]
REFUSED = [
    *(
        "",
        " ",
        "[1,]",
        "[1",
        "[1 true]",
        "[a",
        '["": 1]',
        '[""],',
        "[,1]",
        "[1,,2]",
        "[x",
        "]",
        "[3[4]]",
        "[",
        "[-",
        "[1]x",
        "1]",
        "[][]",
    ),
    *(
        "[+1]",
        "[-01]",
        "[.5]",
        "[1.]",
        "[0.e1]",
        "[1e]",
        "[1e+]",
        "[0x1]",
        "[1 000]",
        "[012]",
        "[--1]",
        "[-a]",
        "[1_0]",
        "[１]",
    ),
    *("[NaN]", "[Infinity]", "[-Infinity]", "[nan]", "[Inf]", "[1e999]", "[-1e999]", "[1e0309]", "[1E+400]", "[1234e308]"),
    *('{"a"}', '{"a":1,}', "{a:1}", "{'a':1}", '{"a":1 "b"}', '{"a"::1}', "{1:1}", "{null:1}", '{"a":', '{"a" "b"}', "{,}"),
    *(
        '["a',
        '["\\x00"]',
        '["\\u12"]',
        '["\\uD800\\u1"]',
        '["\\a"]',
        '["\n"]',
        '["\t"]',
        '["\x00"]',
        "['a']",
        '"\\',
        "[\\n]",
        "\\u0020[]",
    ),
    *(
        "tru",
        "nul",
        "[True]",
        "None",
        "// a\n1",
        "[1/* */]",
        "[\u00a01]",
        "[\f1]",
        "\u2060[]",
        "<a>",
        "[" * 202 + "]" * 202,
        "[" * 100_000,
    ),
    *('{"a":' * 100_000, "9" * 4301),
]


@pytest.mark.parametrize("text", TAKEN, ids=lambda text: text[:30])
def test_json_is_read_as_the_standard_library_reads_it(text):
    assert request_of(text.encode()).json() == json.loads(text)
    assert type(request_of(text.encode()).json()) is type(json.loads(text))


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_what_is_no_json_is_none(text):
    assert request_of(text.encode("utf-8", "surrogatepass")).json() is None


@pytest.mark.parametrize("content", [b'["\xff"]', b'["\xc0\xaf"]', b'["\xed\xa0\x80"]', b'["\xe2\x82"]', b"\xff", b"[\xe9]"])
def test_what_is_no_utf_8_is_none(content):
    assert request_of(content).json() is None


@pytest.mark.parametrize("hash", ["4e123", "12e4567890e999", "e999", "0e+999x"])
def test_a_hash_is_no_number(hash):
    assert request_of(json.dumps([{"hash": hash}]).encode()).json() == [{"hash": hash}]


def test_numbers_are_read_to_the_last_bit():
    """With few digits and with many, near the bounds of what a float and an integer of 64 bits hold."""
    chance = random.Random(23)
    digits = lambda most: "".join(chance.choice("0123456789") for _ in range(chance.randint(1, most)))
    numbers = ["-0", "-0.0", "0e5", "9007199254740993.0", "9007199254740993e1", "18446744073709551615", "-9223372036854775808"]
    for _ in range(5000):
        whole = chance.choice(["", "-"]) + str(int(digits(chance.choice([3, 19, 21]))))
        fraction = chance.choice(["", "." + digits(chance.choice([3, 17, 30]))])
        numbers.append(
            whole + fraction + chance.choice(["", f"{chance.choice('eE')}{chance.randint(-330, 280)}", "e+5", "E-05"])
        )
    for number in numbers:
        assert repr(request_of(number.encode()).json()) == repr(json.loads(number)), number


def test_a_text_that_breaks_off_or_goes_on_is_none():
    text = '{"a": [1, -2.5e3, "é\\n\\ud83d\\ude00", true, false, null, {}], "b\\u0062": {"c": []}}'.encode()
    assert request_of(text).json() == json.loads(text)
    for length in range(len(text)):
        assert request_of(text[:length]).json() is None, text[:length]
    for behind in (b",", b"}", b"]", b"0", b'"', b"\0", b"\xff", b"null"):
        assert request_of(text + behind).json() is None


def test_it_is_parsed_once():
    """Each call gives the same object: a change is seen by the next."""
    request = request_of(b'{"a": [1]}')
    request.json()["a"].append(2)
    assert request.json() == {"a": [1, 2]}
    assert request.json() is request.json()


@dataclass
class Issue:
    title: str
    due: datetime.date | None = None


class IssueStruct(msgspec.Struct):
    title: str


class IssueModel(pydantic.BaseModel):
    title: str


@pytest.mark.parametrize("model", [Issue, IssueStruct, IssueModel])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_a_model_is_made_of_it(model, encoding):
    made = request_of('{"title": "a"}'.encode(encoding)).json(model)
    assert (type(made), made.title) == (model, "a")


@pytest.mark.parametrize(
    ("content", "headers", "code", "reason"),
    [
        (b'{"title": 5}', JSON_TYPE, 422, "title"),
        (b"[]", JSON_TYPE, 422, "body"),
        (b"{", JSON_TYPE, 400, "the content is not JSON: "),
        (b"\xff\xfe[", JSON_TYPE, 400, "the content is not JSON: "),
        (b'{"title": "a"}', {}, 415, "without a Content-Type"),
        (b'{"title": "a"}', {"Content-Type": "text/plain"}, 415, "text/plain is not taken here"),
    ],
)
@pytest.mark.parametrize("model", [Issue, IssueStruct, IssueModel])
def test_what_does_not_fit_a_model_has_an_answer_of_its_own(content, headers, code, reason, model):
    with pytest.raises(HTTPException, match=reason) as raised:
        request_of(content, headers).json(model)
    assert raised.value.code == code


def test_strict_takes_any_json_and_nothing_else(serve):
    running = serve(lambda request: [request.json(strict=True)])
    for content, media_type, status in [
        (b"null", "application/json", 200),
        (b'{"a": 1}', "Application/Problem+JSON; charset=utf-8", 200),
        (b"nul", "application/json", 400),
        (b"null", "text/plain", 415),
    ]:
        assert running.fetch("/", "POST", {"Content-Type": media_type}, content).status == status


# --- Writing

FLOATS = [0.0, -0.0, 1.0, 0.1, 1e15, 9999999999999998.0, 1e16, 1.5e16, 1e22, 1e23, 1e100, 0.0001, 0.00012, 0.00001, 0.000015]
FLOATS += [1e-7, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.5e-05, 123456789.125, 2.0**53, 1 / 3]


@pytest.mark.parametrize("number", FLOATS, ids=repr)
def test_floats_are_written_as_python_writes_them(number):
    assert _outside._json_text(number) == repr(number)


STRINGS = ["", "a", '"', "\\", "/", "é€😀", "\x7f\u2028</script>", *map(chr, range(32)), "\ud800", "a\udfffb", "\ud83d\ude00"]
STRINGS += ["x" * length + sign for length in (7, 15, 16, 17, 31, 32, 33) for sign in ('"', "\n", "é", "")]


def test_texts_are_escaped_as_the_standard_library_escapes_them():
    for text in STRINGS:
        assert _outside._json_text([text, {text: text}]) == of_standard_library([text, {text: text}]), text


def random_value(chance: random.Random, depth: int = 0):
    kind = chance.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return "".join(chance.choice(STRINGS) for _ in range(chance.randrange(4)))
    if kind == 1:
        number = struct.unpack("<d", chance.randbytes(8))[0]
        return number if math.isfinite(number) else 0.5
    if kind == 2:
        return round(chance.uniform(-1e6, 1e6), chance.randrange(8)) * 10.0 ** chance.randrange(-12, 12)
    if kind == 3:
        return chance.choice([-1, 1]) * chance.getrandbits(chance.choice([4, 31, 32, 62, 63, 64, 65, 200]))
    if kind < 6:
        return chance.choice([True, False, None, *FLOATS])
    items = [random_value(chance, depth + 1) for _ in range(chance.randrange(5))]
    if kind < 8:
        return items if kind == 6 else tuple(items)
    keys = [
        chance.choice([str(number), number, number / 7, None, True, chance.choice(STRINGS)]) for number in range(len(items))
    ]
    return dict(zip(keys, items, strict=True))


def compare(count: int, seed: int) -> None:
    """Random values are written as the standard library writes them, and read back as it reads them. `make soak` takes a million."""
    chance = random.Random(seed)
    for _ in range(count):
        value = random_value(chance)
        text = _outside._json_text(value)
        assert text == of_standard_library(value), value
        assert repr(request_of(text.encode()).json()) == repr(json.loads(text)), text


def test_thousands_of_random_values():
    compare(5000, 19)


def test_nesting_ends_at_200():
    def nested(depth):
        return json.loads("[" * depth + "]" * depth)

    assert _outside._json_text(nested(200)) == "[" * 200 + "]" * 200
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        _outside._json_text(nested(201))
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        _outside._json_text([nested(100), nested(200)])


def test_a_dictionary_that_is_changed_while_it_is_written_is_an_error():
    grown = {}

    class Meddler(dict):
        def items(self):
            grown["more"] = 1
            return super().items()

    grown["a"] = Meddler(b=1)
    with pytest.raises(RuntimeError, match="changed while it was written"):
        _outside._json_text(grown)


def test_items_that_are_taken_out_while_a_list_is_written():
    rows: list = []

    class Meddler(dict):
        def items(self):
            rows.clear()
            return super().items()

    rows += [["a" * 40, {"b": 1}], Meddler(c="d" * 40), ["gone"], 5, "gone"]
    assert _outside._json_text(rows) == '[["' + "a" * 40 + '",{"b":1}],{"c":"' + "d" * 40 + '"}]'
    assert rows == []


def test_entries_that_are_replaced_while_a_dictionary_is_written():
    entries: dict = {}

    class Meddler(dict):
        def items(self):
            for key in list(entries):
                del entries[key]
            entries.update((f"{number}x{number}", [str(number) * 30]) for number in range(3))
            return super().items()

    entries.update({"first": ["x" * 40], "second": Meddler(c=1), "third": ["y" * 40]})
    text = _outside._json_text({"around": entries})
    # Its length is the same as before; which entries come then is Python's to say.
    assert text.startswith('{"around":{"first":["' + "x" * 40 + '"],"second":{"c":1}')
    assert len(json.loads(text)["around"]) <= 3


def test_halves_of_surrogate_pairs_beside_other_texts():
    half = "\udc00"
    value = ["a", half, {half: half, "ö": "ü" + half, "b": "c"}, "ö" * 40]
    assert _outside._json_text(value) == of_standard_library(value)


def test_derived_classes_are_written_by_their_content():
    class Text(str):
        def __str__(self):
            return "not this"

    class Number(int):
        def __repr__(self):
            return "not this"

    class Float(float):
        __repr__ = __str__ = lambda self: "not this"

    class Many(list):
        pass

    value = {Text("a"): [Number(5), Number(2**70), Float(0.5), Many([Text("b")])], Number(1): 1}
    assert _outside._json_text(value) == '{"a":[5,1180591620717411303424,0.5,["b"]],"1":1}'


def test_an_integer_of_more_digits_than_python_writes_is_an_error():
    with pytest.raises(ValueError, match="digits"):
        _outside._json_text([10**5000])
