"""Who may talk to the server: its own page, by its own name; what a page of another site asks is refused."""

import pytest
from helpers.server_cases import running

from app import access, server

pytestmark = pytest.mark.reliability

FOREIGN = "https://photos.example"
TRAVERSALS = [
    "/../../etc/passwd",
    "/..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/static/../../../../../../etc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/app/static/..%2f..%2fconfig.toml",
    "/app/static/../main.py",
    "/media/../../../../etc/passwd",
    "/media/..%2f..%2f..%2fetc%2fpasswd",
    "/media/%252e%252e%252fetc%252fpasswd",
    "/component/../../../etc/passwd",
    "/component/streamlit/..%2f..%2f..%2fetc%2fpasswd",
    "/_stcore/bidi-components/x/..%2f..%2f..%2fetc%2fpasswd",
    "/_stcore/component/../../../../etc/passwd",
    "/C:%5cwindows%5cwin.ini",
    "/%5c%5cserver%5cshare",
    "/static/..%5c..%5c..%5cetc%5cpasswd",
    "/static/%00/etc/passwd",
]


@pytest.fixture(scope="module")
def app(tmp_path_factory, small_weights):
    with running(tmp_path_factory.mktemp("app"), small_weights) as started:
        yield started


def test_the_own_page_gets_a_session_by_each_of_its_names(app):
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{app.port}"
        assert app.websocket_opens(host=host, origin=f"http://{host}"), name


@pytest.mark.parametrize(
    "origin",
    [FOREIGN, "http://127.0.0.1.photos.example", "http://localhost.photos.example", "null"],
)
def test_a_page_of_another_site_gets_no_session(app, origin, figure):
    assert not app.websocket_opens(origin=origin)
    figure(15, "websocket from 4 foreign origins", "refused")


def test_a_page_of_another_port_of_this_machine_gets_no_session(app, figure):
    """Another program's page: the same machine, but not our page."""
    for origin in (f"http://127.0.0.1:{app.port + 1}", "http://localhost", "https://127.0.0.1"):
        assert not app.websocket_opens(origin=origin), origin
    figure(15, "websocket from 3 pages of other ports of this machine", "refused")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_picture_in_a_page_of_another_site_is_not_given(app, site, figure):
    """Browsers send no Origin with pictures and scripts, but say who asks."""
    asked = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors"}
    for path in ("/media/x.png", "/", "/_stcore/health", "/app/static/x"):
        status, _, body = app.request(path, **asked)
        assert status == 403, path
        assert b"another site" in body
    figure(15, "pictures and scripts for foreign pages (Sec-Fetch-Site), 4 addresses", "403")


def test_a_page_of_another_site_may_link_to_the_app_but_not_frame_it(app, figure):
    asked = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    status, headers, _ = app.request("/attention", **asked, Sec_Fetch_Dest="document")
    assert (status, headers["content-security-policy"]) == (200, "frame-ancestors 'self'")
    for place in ("iframe", "object", "embed"):
        assert app.request("/attention", **asked, Sec_Fetch_Dest=place)[0] == 403
    figure(15, "the app in an iframe, object or embed of a foreign page", "403")


def test_a_header_sent_twice_is_refused(app):
    """A door and what lies behind it could each read another of the two."""
    own = f"127.0.0.1:{app.port}".encode()
    twice = [(b"host", own), (b"Host", b"photos.example")]
    assert "twice" in (server._refusal(twice) or "")
    assert server._refusal([(b"host", own), (b"host", own)]) is None


def test_no_address_answers_by_a_forged_name(app, figure):
    for path in ("/", "/attention", "/media/x.png", "/_stcore/health", "/_stcore/host-config"):
        status, _, body = app.request(path, Host=f"photos.example:{app.port}")
        assert (status, b"does not answer to" in body) == (403, True), path
        assert b"127.0.0.1" not in body, "told to whoever has a name point here"
    figure(15, "requests by a forged Host to 5 addresses", "403")


def test_a_refusal_asks_nobody_else(app, figure):
    """Streamlit would ask a server on the internet for the machine's own address."""
    app.websocket_opens(origin=FOREIGN)
    app.request("/", Origin=FOREIGN)
    assert app.noted("connect") == []
    figure(15, "connections that refusals make", "0")


@pytest.mark.parametrize(
    "name", ["photos.example", "127.0.0.1.photos.example", "192.0.2.7", "localhost@photos.example"]
)
def test_a_name_that_somebody_has_point_here_gets_no_session(app, name, figure):
    """A site's own name, resolved to this machine by the site (DNS rebinding): to the browser the page
    and the server are then of one origin."""
    host = f"{name}:{app.port}"
    assert not app.websocket_opens(host=host, origin=f"http://{host}")
    assert not app.websocket_opens(host=host, origin=None)
    figure(15, "websocket by 4 forged Host names, of one origin with the page", "refused")


def test_an_upload_needs_the_token_of_the_page(app, figure):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\nabc\r\n--x--\r\n"
    )
    form = {"Content_Type": "multipart/form-data; boundary=x"}
    path = "/_stcore/upload_file/session/file"
    refusals = [
        app.request(path, "PUT", body, **form),
        app.request(path, "PUT", body, **form, Origin=FOREIGN),
        app.request(path, "PUT", body, **form, X_Xsrftoken="made-up", Cookie="_streamlit_xsrf=no"),
        app.request(path, "DELETE"),
    ]
    assert [status for status, _, _ in refusals] == [403] * 4
    figure(15, "uploads and deletion without the page's token", "403, 4 of 4")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/attention", "/training", "/_stcore/health", "/media/x"])
def test_a_form_of_another_site_changes_nothing(app, method, path, figure):
    headers = {"Origin": FOREIGN, "Content_Type": "application/x-www-form-urlencoded"}
    status, answered, _ = app.request(path, method, b"name=run&epochs=1", **headers)
    assert status in (403, 404, 405)
    assert "access-control-allow-origin" not in answered
    figure(15, "POST, PUT, PATCH, DELETE of a foreign page to 5 addresses", "refused, 20 of 20")


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/_stcore/host-config", "/media/x.png"])
def test_a_page_of_another_site_may_not_read_an_answer(app, path):
    _, answered, _ = app.request(path, Origin=FOREIGN)
    assert answered.get("access-control-allow-origin") is None
    status, answered, _ = app.request(
        "/_stcore/upload_file/a/b", "OPTIONS", Origin=FOREIGN, Access_Control_Request_Method="PUT"
    )
    assert answered.get("access-control-allow-origin") not in ("*", FOREIGN), status


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_address_leads_out_of_what_is_served(app, path, figure):
    status, _, body = app.request(path)
    assert b"root:" not in body
    assert b"allowedHosts" not in body
    assert b"st.navigation" not in body
    # Streamlit answers an address that is no file with its own page, so that links to pages work.
    assert status in (400, 403, 404) or b"<title>Streamlit</title>" in body
    figure(15, f"{len(TRAVERSALS)} addresses that lead out of what is served", "no file given")


@pytest.mark.parametrize(
    ("host", "names", "answered"),
    [
        ("127.0.0.1:8501", ["127.0.0.1"], True),
        ("LOCALHOST.:8501", ["localhost"], True),
        ("[::1]:8501", ["::1"], True),
        ("a.school.example", ["*.school.example"], True),
        ("school.example", ["*.school.example"], False),
        ("aschool.example", ["*.school.example"], False),
        ("x.example", ["*"], True),
        ("x.example", [], True),
        ("", ["127.0.0.1"], False),
        ("127.0.0.1:x", ["127.0.0.1"], False),
        ("127.0.0.1:99999", ["127.0.0.1"], False),
        ("me@127.0.0.1", ["127.0.0.1"], False),
        ("127.0.0.1/x", ["127.0.0.1"], False),
        ("127.0.0.1@photos.example", ["127.0.0.1"], False),
    ],
)
def test_names_by_hand(host, names, answered):
    assert server.is_allowed(host, names) is answered


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:8501", "127.0.0.1:8501", True),
        ("https://dino.example", "dino.example", True),  # behind a proxy that speaks TLS
        ("https://dino.example", "dino.example:443", True),
        ("https://dino.example", "dino.example:80", False),
        ("http://127.0.0.1", "127.0.0.1:8501", False),
        ("http://127.0.0.1:8501", "localhost:8501", False),
        ("http://[::1]:8501", "[::1]:8501", True),
        ("null", "127.0.0.1:8501", False),
        ("", "127.0.0.1:8501", False),
        ("http://127.0.0.1:8501/x", "127.0.0.1:8501", False),
        ("http://127.0.0.1:8501@photos.example", "127.0.0.1:8501", False),
    ],
)
def test_origins_by_hand(origin, host, same):
    assert server.same_host(origin, host) is same


def test_the_server_is_well_after_all_that(app):
    assert app.request("/_stcore/health")[0] == 200
    assert "Traceback" not in app.said()


def test_a_page_behind_a_proxy_gets_a_session_without_asking_the_internet(tmp_path, small_weights):
    allowed = {"STREAMLIT_SERVER_CORS_ALLOWED_ORIGINS": "https://dino.example"}
    with running(tmp_path, small_weights, **allowed) as proxied:
        assert proxied.websocket_opens(origin="https://dino.example")
        assert not proxied.websocket_opens(origin=FOREIGN)
        assert proxied.noted("connect") == []
        told = proxied.request("/")[1]["content-security-policy"]
        assert told == "frame-ancestors 'self' https://dino.example"


def test_names_of_its_own_are_added_to_an_open_server(monkeypatch):
    monkeypatch.setenv("STREAMLIT_SERVER_ALLOWED_HOSTS", "dino.example 192.0.2.9")
    words = access.options("192.0.2.7")
    assert words[-4:] == [
        "--server.allowedHosts",
        "dino.example",
        "--server.allowedHosts",
        "192.0.2.9",
    ]


def test_an_open_server_answers_to_this_machine_s_names_only():
    names = access.own_names("0.0.0.0")
    assert {"127.0.0.1", "localhost"} < set(names)
    assert "*" not in names
    assert access.own_names("192.0.2.7")[0] == "192.0.2.7"
    words = access.options("192.0.2.7")
    assert words[:4] == [
        *("--browser.serverAddress", "192.0.2.7"),
        *("--server.allowedHosts", "192.0.2.7"),
    ]
