"""Downloads against a local server that behaves, stalls, cuts, forgets and lies."""

import errno
import hashlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import dino.weights.download as module
from dino.errors import DownloadError, WeightsError
from dino.system.files import hash_file
from dino.weights.download import download, record, verify

BODY = bytes(range(256)) * 12_000  # 3 MB, more than one chunk
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.body` the way `server.script` says, one entry a request."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[dict[str, str]]]

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        server: Any = self.server
        server.seen.append(dict(self.headers.items()))
        act = server.script.pop(0) if len(server.script) > 1 else server.script[0]
        act(self)

    def answer(
        self, status: int, body: bytes, *, cut_at: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body if cut_at is None else body[:cut_at])
        self.wfile.flush()
        if cut_at is not None:
            self.connection.shutdown(socket.SHUT_RDWR)


Act = Callable[[Handler], None]


def whole(etag: str = '"v1"', cut_at: int | None = None, **headers: str) -> Act:
    """Status 200 with everything, ranges ignored."""
    return lambda h: h.answer(200, h.server.body, cut_at=cut_at, ETag=etag, **headers)


def ranged(etag: str = '"v1"', cut_at: int | None = None) -> Act:
    """206 for a range of the version the client has, else 200, as RFC 9110 wants."""

    def act(h: Handler) -> None:
        body, wanted = h.server.body, h.headers.get("Range")
        if wanted is None or h.headers.get("If-Range") != etag:
            whole(etag, cut_at)(h)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            h.answer(416, b"", Content_Range=f"bytes */{len(body)}")
            return
        sent = f"bytes {start}-{len(body) - 1}/{len(body)}"
        h.answer(206, body[start:], cut_at=cut_at, ETag=etag, Content_Range=sent)

    return act


def status(code: int, **headers: str) -> Act:
    return lambda h: h.answer(code, b"sorry", **headers)


def silent(seconds: float) -> Act:
    return lambda h: time.sleep(seconds)


class Site:
    """A server and what it saw: `url`, `seen` headers a request, `script` of behaviours."""

    def __init__(self) -> None:
        self.server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.body = BODY
        self.server.seen = []
        self.server.script = [ranged()]
        self.url = f"http://127.0.0.1:{self.server.server_port}/weights.pth"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def seen(self) -> list[dict[str, str]]:
        return self.server.seen

    def play(self, *script: Act) -> None:
        self.server.script = list(script)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "_RETRY_PAUSE_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "weights.pth"


def left(target: Path) -> list[str]:
    """Names of what lies beside the target, sorted."""
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


def leave_part(target: Path, content: bytes, note: str | None) -> None:
    """What an earlier, interrupted run left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_name("weights.pth.part").write_bytes(content)
    if note is not None:
        target.with_name("weights.pth.part.json").write_text(note)


# --- it works -----------------------------------------------------------------------------------


def test_a_file_arrives_whole_with_its_hash_recorded(site: Site, target: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    assert download(site.url, target, progress=lambda *step: steps.append(step)) == target
    assert target.read_bytes() == BODY
    assert left(target) == ["weights.pth", "weights.pth.sha256"]
    assert target.with_name("weights.pth.sha256").read_text() == f"{SHA256}  weights.pth\n"
    assert steps[0] == (0, len(BODY))
    assert steps[-1] == (len(BODY), len(BODY))
    assert steps == sorted(steps)
    assert "Range" not in site.seen[0]
    assert site.seen[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("pinned", [SHA256, SHA256.upper(), SHA256[:8]])
def test_a_pinned_hash_is_checked_and_not_recorded(site: Site, target: Path, pinned: str) -> None:
    download(site.url, target, sha256=pinned)
    assert left(target) == ["weights.pth"]


def test_a_server_that_does_not_tell_the_size(site: Site, target: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    site.play(whole(Content_Length=""))
    download(site.url, target, progress=lambda *step: steps.append(step))
    assert target.read_bytes() == BODY
    assert steps[-1] == (len(BODY), None)


def test_redirects_are_followed_but_only_to_http(site: Site, target: Path) -> None:
    site.play(status(302, Location="/elsewhere"), ranged())
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/weights.pth"):
        site.play(status(302, Location=place))
        with pytest.raises(DownloadError):
            download(site.url, target.with_name("other.pth"))
    assert left(target) == ["weights.pth"]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A fresh certificate for 127.0.0.1 with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("this machine has no openssl to make a certificate with")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        openssl,
        *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(made.read_text() + key.read_text())
    return both


def test_https_works_and_an_unknown_certificate_is_reported(
    site: Site, target: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    secure = Site()
    secure.server.socket = context.wrap_socket(secure.server.socket, server_side=True)
    url = secure.url.replace("http:", "https:")
    try:
        with pytest.raises(DownloadError, match=r"could not be reached.*CERTIFICATE_VERIFY_FAILED"):
            download(url, target)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        download(url, target, sha256=SHA256)
    finally:
        secure.server.shutdown()
        secure.server.server_close()
    assert target.read_bytes() == BODY


# --- going on where it stopped ------------------------------------------------------------------


def test_a_cut_is_resumed_by_itself(site: Site, target: Path) -> None:
    site.play(ranged(cut_at=1_000_000), ranged())
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert left(target) == ["weights.pth"]
    assert site.seen[1]["Range"] == "bytes=1000000-"
    assert site.seen[1]["If-Range"] == '"v1"'


def test_three_cuts_are_survived_and_four_are_reported(site: Site, target: Path) -> None:
    site.play(*[ranged(cut_at=100_000)] * 3, ranged())
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    other = target.with_name("other.pth")
    site.play(ranged(cut_at=100_000))
    with pytest.raises(DownloadError, match=r"400,000 bytes have arrived; run again to go on"):
        download(site.url, other)
    assert other.with_name("other.pth.part").stat().st_size == 400_000
    assert not other.exists()


def test_another_run_goes_on_from_the_part(site: Site, target: Path) -> None:
    site.play(ranged(cut_at=100_000))
    with pytest.raises(DownloadError):
        download(site.url, target)
    assert left(target) == ["weights.pth.part", "weights.pth.part.json"]
    site.play(ranged())
    steps: list[tuple[int, int | None]] = []
    download(site.url, target, sha256=SHA256, progress=lambda *step: steps.append(step))
    assert site.seen[-1]["Range"] == "bytes=400000-"
    assert steps[0] == (400_000, len(BODY))
    assert left(target) == ["weights.pth"]


def test_a_server_that_ignores_ranges_sends_all_of_it_again(site: Site, target: Path) -> None:
    site.play(whole(cut_at=1_000_000), whole())
    download(site.url, target, sha256=SHA256)
    assert "Range" in site.seen[1]
    assert target.read_bytes() == BODY


def test_two_versions_of_a_file_are_never_joined(site: Site, target: Path) -> None:
    """The file changed on the server between the two halves."""
    site.play(ranged('"v1"', cut_at=100_000))
    with pytest.raises(DownloadError):
        download(site.url, target)
    assert target.with_name("weights.pth.part").stat().st_size == 400_000
    site.server.body = BODY[::-1]
    site.play(ranged('"v2"'))
    download(site.url, target)
    assert site.seen[-1]["If-Range"] == '"v1"'
    assert target.read_bytes() == BODY[::-1]


def test_last_modified_names_the_version_where_there_is_no_etag(site: Site, target: Path) -> None:
    date = "Tue, 27 Apr 2021 10:00:00 GMT"
    site.play(whole("", cut_at=500_000, Last_Modified=date), whole(""))
    download(site.url, target, sha256=SHA256)
    assert site.seen[1]["If-Range"] == date


@pytest.mark.parametrize("etag", ["", 'W/"v1"'])
def test_without_a_strong_name_for_the_version_it_starts_afresh(
    site: Site, target: Path, etag: str
) -> None:
    site.play(whole(etag, cut_at=500_000), whole(etag))
    download(site.url, target, sha256=SHA256)
    assert "Range" not in site.seen[1]
    other = target.with_name("other.pth")
    site.play(whole(etag, cut_at=500_000))
    with pytest.raises(DownloadError, match="start afresh"):
        download(site.url, other)
    assert left(target) == ["weights.pth"]  # a part that nobody can resume is not left lying


@pytest.mark.parametrize(
    "note",
    [None, "{broken", "[]", '{"url": "http://elsewhere/x", "validator": "\\"v1\\""}'],
)
def test_a_part_of_unknown_origin_is_not_built_on(
    site: Site, target: Path, note: str | None
) -> None:
    leave_part(target, b"garbage" * 1000, note)
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert "Range" not in site.seen[0]


def test_a_part_that_is_already_the_whole_needs_nothing_more(site: Site, target: Path) -> None:
    leave_part(target, BODY, f'{{"url": "{site.url}", "validator": "\\"v1\\""}}')
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert len(site.seen) == 1
    assert left(target) == ["weights.pth"]


def test_a_part_longer_than_the_file_starts_afresh(site: Site, target: Path) -> None:
    leave_part(target, BODY + b"more", f'{{"url": "{site.url}", "validator": "\\"v1\\""}}')
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY
    assert len(site.seen) == 2


def test_another_range_than_asked_for_starts_afresh(site: Site, target: Path) -> None:
    leave_part(target, BODY[:1000], f'{{"url": "{site.url}", "validator": "\\"v1\\""}}')
    size = len(BODY)
    wrong = f"bytes 2000-{size - 1}/{size}"
    site.play(lambda h: h.answer(206, BODY[2000:], Content_Range=wrong), ranged())
    download(site.url, target, sha256=SHA256)
    assert target.read_bytes() == BODY


# --- one sentence each --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (404, "no such file"),
        (410, "no such file"),
        (403, "without a login"),
        (500, "fault of its own"),
        (503, "fault of its own"),
        (418, "status 418"),
    ],
)
def test_a_refusal_is_reported_and_leaves_nothing(
    site: Site, target: Path, code: int, sentence: str
) -> None:
    site.play(status(code))
    with pytest.raises(DownloadError, match=sentence) as caught:
        download(site.url, target)
    assert site.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left(target) == []
    assert len(site.seen) == 1


def test_a_web_page_instead_of_the_file_is_reported(site: Site, target: Path) -> None:
    site.play(whole(Content_Type="text/html; charset=utf-8"))
    with pytest.raises(DownloadError, match="a web page came instead"):
        download(site.url, target)
    assert left(target) == []


def test_a_wrong_hash_is_reported_and_the_file_removed(site: Site, target: Path) -> None:
    with pytest.raises(
        DownloadError, match=f"has sha256 {SHA256[:16]}…, expected 000000"
    ) as caught:
        download(site.url, target, sha256="0" * 64)
    assert "removed" in str(caught.value)
    assert left(target) == []


def test_a_refused_connection_is_reported(target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match=f"127.0.0.1:{port} refused the connection"):
        download(f"http://127.0.0.1:{port}/x", target)
    assert left(target) == []


def test_an_unknown_host_means_being_offline(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match=r"weights\.example cannot be found.*offline"):
        download("http://weights.example/x", target)


def test_a_name_lookup_that_hangs_is_cut_short(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(5) or [])
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"weights\.example did not answer in time"):
        download("http://weights.example/x", target, connect_timeout_s=0.1)
    assert time.monotonic() - start < 2


def test_a_server_that_never_answers_is_reported_in_time(site: Site, target: Path) -> None:
    site.play(silent(5))
    start = time.monotonic()
    with pytest.raises(DownloadError, match="did not answer in time"):
        download(site.url, target, read_timeout_s=0.2)
    assert time.monotonic() - start < 2
    assert left(target) == []


def test_a_server_that_falls_silent_half_way_is_asked_again(site: Site, target: Path) -> None:
    def stall(h: Handler) -> None:
        h.send_response(200)
        h.send_header("Content-Length", str(len(BODY)))
        h.send_header("ETag", '"v1"')
        h.end_headers()
        h.wfile.write(BODY[:700_000])
        h.wfile.flush()
        time.sleep(1)

    site.play(stall, ranged())
    download(site.url, target, sha256=SHA256, read_timeout_s=0.2)
    assert site.seen[1]["Range"] == "bytes=700000-"


def test_the_time_to_connect_does_not_limit_the_time_to_answer(site: Site, target: Path) -> None:
    def late(h: Handler) -> None:
        time.sleep(0.5)
        ranged()(h)

    site.play(late)
    download(site.url, target, sha256=SHA256, connect_timeout_s=0.2, read_timeout_s=5)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "weights.pth", ""])
def test_only_http_and_https_are_downloaded(target: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="only http and https"):
        download(url, target)


# --- disk and company ---------------------------------------------------------------------------


class FullDisk:
    """A file that holds `room` bytes and then fails as a full disk does."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *arguments: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._file.write(data))


def test_a_full_disk_is_reported_and_can_be_resumed(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._locked
    with monkeypatch.context() as patch:
        patch.setattr(module, "_locked", lambda path: FullDisk(real(path), 1_500_000))
        with pytest.raises(DownloadError, match="the disk is full; free space and run again"):
            download(site.url, target)
    assert left(target) == ["weights.pth.part", "weights.pth.part.json"]
    kept = target.with_name("weights.pth.part").stat().st_size
    assert 0 < kept <= 1_500_000
    download(site.url, target, sha256=SHA256)
    assert site.seen[-1]["Range"] == f"bytes={kept}-"
    assert left(target) == ["weights.pth"]


def test_a_full_disk_leaves_nothing_that_cannot_be_resumed(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._locked
    monkeypatch.setattr(module, "_locked", lambda path: FullDisk(real(path), 1_500_000))
    site.play(whole(""))
    with pytest.raises(DownloadError, match="the disk is full"):
        download(site.url, target)
    assert left(target) == []


def test_a_folder_that_cannot_be_made_is_reported(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(site.url, tmp_path / "file" / "weights.pth")


def test_one_file_is_downloaded_by_one_at_a_time(site: Site, target: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(h: Handler) -> None:
        started.set()
        go_on.wait(5)
        ranged()(h)

    site.play(slow)
    first = threading.Thread(target=download, args=(site.url, target))
    first.start()
    assert started.wait(5)
    with pytest.raises(DownloadError, match="another process is downloading"):
        download(site.url, target)
    go_on.set()
    first.join(10)
    assert target.read_bytes() == BODY
    assert left(target) == ["weights.pth", "weights.pth.sha256"]


# --- checking afterwards ------------------------------------------------------------------------


def test_verify_checks_against_the_pinned_or_the_recorded_hash(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(BODY)
    assert hash_file(path) == SHA256
    assert verify(path) is False
    assert verify(path, sha256=SHA256) is True
    assert verify(path, sha256=SHA256[:8]) is True
    record(path, SHA256)
    assert verify(path) is True
    path.write_bytes(BODY[:-1] + b"\0")
    with pytest.raises(WeightsError, match="was changed or damaged, so delete it"):
        verify(path)
    with pytest.raises(WeightsError, match="expected 0000000000000000"):
        verify(path, sha256="0" * 64)
    with pytest.raises(WeightsError, match="no such file"):
        verify(tmp_path / "absent.pth")


def test_sha256sum_reads_what_is_recorded(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("this machine has no sha256sum")
    (tmp_path / "weights.pth").write_bytes(BODY)
    record(tmp_path / "weights.pth", SHA256)
    command = ["sha256sum", "--check", "weights.pth.sha256"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout == "weights.pth: OK\n"
