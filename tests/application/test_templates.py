"""Pages: `templates("page.html", name=value)` by Jinja2, with the functions that pages need."""

from __future__ import annotations

import re
import sys

import pytest

from outside import OutsideHTTP, Templates, csrf_token, flash
from support.subprocesses import run_process

jinja2 = pytest.importorskip("jinja2")
SECRET = "a secret of thirty-two bytes ......"


@pytest.fixture
def write(server: OutsideHTTP, tmp_path):
    server.config.update(secret=SECRET, access_log="off")

    def write_all(**texts: str) -> Templates:
        for name, text in texts.items():
            (tmp_path / f"{name}.html").write_text(text)
        return Templates(tmp_path)

    return write_all


@pytest.mark.parametrize("style", ["plain", "async", "set_route"])
def test_a_page(server: OutsideHTTP, write, style):
    templates = write(page="<p>{{ name }} {{ request.path }}</p>")

    def page(request):
        return templates("page.html", name="<b>")

    async def page_async(request):
        return page(request)

    server.set_route("/p", page) if style == "set_route" else server.get("/p")(page if style == "plain" else page_async)
    response = server.test_client().get("/p")
    assert response.text == "<p>&lt;b&gt; /p</p>", "values are escaped"
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_what_pages_need(server: OutsideHTTP, write):
    templates = write(
        macros="{% macro token() %}{{ csrf_field() }}{% endmacro %}",
        page="{% import 'macros.html' as m %}{{ url_for('user', id=7) }}|{{ session.name }}|{{ session.unknown }}|"
        "{{ flashes()|join }}|{{ m.token() }}|{{ request.args.q }}|{% if request %}r{% endif %}",
    )

    @server.get("/users/{id:int}")
    def user(request, id):
        request.session["name"] = "ann"
        flash(request, "saved")
        return csrf_token(request)

    server.get("/page")(lambda: templates("page.html"))
    client = server.test_client()
    token = client.get("/users/1").text
    field = f'<input type="hidden" name="csrf_token" value="{token}">'
    page = client.get("/page?q=x")
    assert page.text == f"/users/7|ann||saved|{field}|x|r"
    assert page.headers["Vary"] == "Cookie"
    assert "saved" not in client.get("/page").text


def test_a_page_without_a_session_does_not_vary(server: OutsideHTTP, write):
    templates = write(page="x")
    server.get("/")(lambda: templates("page.html"))
    assert "Vary" not in server.test_client().get("/").headers


@pytest.mark.parametrize("path", ["/missing", "/abort", "/group/missing"])
def test_as_an_error_page_it_has_the_status_of_the_error(server: OutsideHTTP, write, path):
    from outside import abort

    templates = write(error="{{ message }} {{ request.path }} {{ session.get('n', 0) }}")
    server.errorhandler(404)(lambda request, message: templates("error.html", message=message))
    server.get("/abort")(lambda: abort(404, "gone"))
    response = server.test_client().get(path)
    assert response.status_code == 404 and path in response.text


def test_a_status_that_was_given_stays(server: OutsideHTTP, write):
    templates = write(page="x")
    server.errorhandler(404)(lambda: templates("page.html", status_code=410))
    server.get("/")(lambda: templates("page.html", status_code=201, headers={"X-A": "1"}))
    client = server.test_client()
    assert client.get("/missing").status_code == 410
    assert (client.get("/").status_code, client.get("/").headers["X-A"]) == (201, "1")


def test_a_page_with_its_status_as_in_flask(server: OutsideHTTP, write):
    templates = write(mail="Dear {{ name }}")
    assert templates.render("mail.html", name="Ann & Bob") == "Dear Ann &amp; Bob"


class Row(dict):
    def __getattribute__(self, name):
        return f"attribute {name}" if name == "id" else super().__getattribute__(name)


@pytest.mark.parametrize("undefined", [jinja2.Undefined, jinja2.StrictUndefined, jinja2.ChainableUndefined])
@pytest.mark.parametrize(
    "value", [{"id": 1, "items": 2, "__len__": 3, "": 4}, Row(id=5, name=6), {}, {"id": {"name": "<"}}, [7], "text", None]
)
@pytest.mark.parametrize(
    "what", ["id", "name", "items", "keys()", "__len__", "id.name", "id is defined", "id|default(8)", "id.name.more"]
)
def test_values_are_those_of_jinja2(tmp_path, undefined, value, what):
    """Dictionaries take a short way."""
    (tmp_path / "page.html").write_text(f"{{{{ value.{what} }}}}")
    loader = jinja2.FileSystemLoader(tmp_path)
    found = []
    for environment in (
        Templates(tmp_path, undefined=undefined).environment,
        jinja2.Environment(loader=loader, autoescape=True, undefined=undefined),
    ):
        try:
            found.append(re.sub("0x[0-9a-f]+", "", environment.get_template("page.html").render(value=value)))
        except Exception as error:
            found.append((type(error), str(error)))
    assert found[0] == found[1]


def test_a_template_that_is_missing_is_named_with_its_neighbour(server: OutsideHTTP, write, records):
    templates = write(page="x")
    server.get("/")(lambda: templates("pgae.html"))
    assert server.test_client().get("/").status_code == 500
    text = "\n".join(records.texts())
    assert "test_templates.py:" in text and "did you mean 'page.html'?" in text


def test_a_folder_that_is_missing_is_refused_where_it_is_written():
    with pytest.raises(FileNotFoundError, match=r"test_templates\.py:\d+: there is no folder .*nowhere"):
        Templates("nowhere")


def test_without_jinja2_the_call_says_what_to_type(tmp_path):
    program = "import sys; sys.modules['jinja2'] = None\nimport outside\noutside.Templates('.')"
    ended = run_process([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1 and "pip install jinja2" in ended.stderr and "<string>:3" in ended.stderr


def test_a_template_is_read_again_where_asked(server: OutsideHTTP, tmp_path):
    server.config["access_log"] = "off"
    (tmp_path / "a.html").write_text("one")
    templates = Templates(tmp_path, reload=True)
    server.get("/")(lambda: templates("a.html"))
    client = server.test_client()
    assert client.get("/").text == "one"
    (tmp_path / "a.html").write_text("two!")
    import os

    os.utime(tmp_path / "a.html", (1, 1))
    assert client.get("/").text == "two!"
