"""A page that takes files: by a form, or one of any size by the script, which shows how far it is.

    $ curl http://127.0.0.1:8080/

With curl a file goes up by `-F files=@photo.jpg http://127.0.0.1:8080/`, or by `-T film.mp4 http://127.0.0.1:8080/files/film.mp4`.
"""

import html as text
import re
import sys
import tempfile
from pathlib import Path

from outside import FormFile, OutsideHTTP, Request, Response, abort, html, redirect, send_file

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="uploads-"))

server = OutsideHTTP(("127.0.0.1", 8080))
server.config.update(max_body_size_mb=2048, security_headers="basic")


def path_of(name: str) -> Path:
    """Where a file of this name lies: in the folder and nowhere else."""
    if not re.fullmatch(r"[\w\- ()+,.]{1,100}", name) or name.startswith("."):
        abort(400, "a name is made of letters, digits, spaces and -_.,+()")
    return FOLDER / name


def page(request: Request) -> Response:
    """The list; or what a form has sent."""
    if request.path != "/":
        abort(404)
    if request.method == "POST":
        files: list[FormFile] = [file for file in request.files.get_all("files") if file]
        for file in files:
            file.save(path_of(file.name))  # copied by the system, never in memory
        return redirect("/", 303)
    rows = "".join(
        f'<li><a href="/files/{text.escape(path.name)}">{text.escape(path.name)}</a> <small>{size(path)}</small>'
        for path in sorted(FOLDER.iterdir())
        if path.suffix != ".part"
    )
    return html(PAGE.replace("ROWS", rows or "<li class=none>Nothing yet."))


def file(request: Request) -> Response:
    """`PUT` takes a file while it comes in; `GET` sends it back."""
    path = path_of(request.path.removeprefix("/files/"))
    if request.method != "PUT":
        return send_file(path, as_attachment=True)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            for piece in request.iter_body():
                file.write(piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # the part of an interrupted upload
    return Response(201, {"Location": f"/files/{path.name}"}, f"{size(path)}\n")


def size(path: Path) -> str:
    amount = float(path.stat().st_size)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            break
        amount /= 1024
    else:
        unit = "GiB"
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Uploads</title>
<link rel="icon" href="data:,">
<style>
  :root { --line: light-dark(#d9d6cf, #373c42); --quiet: light-dark(#66696d, #9aa0a6); --accent: light-dark(#1b5fa8, #7db7f0);
          --on-accent: light-dark(#fff, #0d2033) }
  * { box-sizing: border-box }
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 40rem; padding: 2rem 1rem;
         background: light-dark(#f7f6f3, #16181b); color: light-dark(#1d1f21, #e8e6e3) }
  h1 { font-size: 1.4rem; margin: 0 0 1rem }
  form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; padding: 1.25rem; border: 2px dashed var(--line);
         border-radius: .75rem }
  form.over { border-color: var(--accent) }
  input { flex: 1; min-width: 12rem; font: inherit; color: inherit }
  button { font: inherit; font-weight: 600; padding: .5rem 1.25rem; border: 0; border-radius: .5rem;
           background: var(--accent); color: var(--on-accent) }
  progress { width: 100%; accent-color: var(--accent) }
  progress[hidden] { display: none }
  ul { list-style: none; padding: 0 }
  li { display: flex; align-items: baseline; justify-content: space-between; gap: 1rem; padding: .5rem .25rem; border-bottom: 1px solid var(--line);
       overflow-wrap: anywhere }
  a { color: var(--accent) }
  small, .none { color: var(--quiet); white-space: nowrap }
</style>
<h1>Uploads</h1>
<form id="form" method="post" enctype="multipart/form-data">
  <input type="file" name="files" id="files" multiple required aria-label="Files">
  <button>Upload</button>
  <progress id="progress" max="1" value="0" hidden></progress>
</form>
<ul>ROWS</ul>
<script>
  // Without this script the form is sent as forms are; with it each file goes by itself, and one sees how far.
  const form = document.getElementById("form"), bar = document.getElementById("progress");
  const send = (file, done) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", "/files/" + encodeURIComponent(file.name));
    request.upload.onprogress = event => done(event.loaded);
    request.onload = () => request.status === 201 ? resolve() : reject(new Error(request.responseText));
    request.onerror = () => reject(new Error("the connection is gone"));
    request.send(file);
  });
  async function sendAll(files) {
    const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
    let before = 0;
    bar.hidden = false;
    try {
      for (const file of files) {
        await send(file, now => bar.value = (before + now) / total);
        before += file.size;
      }
      location.reload();
    } catch (error) {
      bar.hidden = true;
      alert(error.message);
    }
  }
  form.onsubmit = event => { event.preventDefault(); sendAll([...document.getElementById("files").files]) };
  form.ondragover = event => { event.preventDefault(); form.className = "over" };
  form.ondragleave = () => form.className = "";
  form.ondrop = event => { event.preventDefault(); form.className = ""; sendAll([...event.dataTransfer.files]) };
</script>
</html>
"""

server.set_route("/", page)
server.set_route("/files", file, streaming=True)
server.run()
