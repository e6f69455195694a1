import functools
import hashlib
import http.server
import threading

import pytest

from lddu.data.studyforrest import locating

CONTENT = {
    "emotions/av1o01.csv": b"start,end\n1,2\n",
    "segments/avmovie/conf_audio_run-1_events.tsv": b"onset\n0.00\n",
    "speech/english_dialog.csv": b"start,text\n1,hello\n",
    "structure/shots.csv": b"start\n0.0\n",
}
UPSTREAM_PATHS = {
    "emotions/av1o01.csv": "studyforrest-paper-emotionannotation/"
    "fb51348a8e12e5680da5053b1b42f02f3cd56178/data/raw/av1o01.csv",
    "segments/avmovie/conf_audio_run-1_events.tsv": "studyforrest-data-annotations/"
    "155097f944f9dc5a8790dd9148016508ab8b18ad/segments/avmovie/conf_audio_run-1_events.tsv",
    "speech/english_dialog.csv": "studyforrest-data-annotations/"
    "155097f944f9dc5a8790dd9148016508ab8b18ad/old/speech/english_dialog.csv",
    "structure/shots.csv": "studyforrest-data-annotations/"
    "155097f944f9dc5a8790dd9148016508ab8b18ad/old/structure/shots.csv",
}


@pytest.fixture(autouse=True)
def small_data_set(monkeypatch):
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(locating, "SHA256", sums)
    monkeypatch.delenv("LDDU_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")


def write(folder, paths=None):
    for name, content in CONTENT.items():
        path = folder / (paths[name] if paths else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class Server:
    """A mirror of upstream on the loopback interface that writes down what it was asked for."""

    def __init__(self, folder):
        self.folder = folder
        self.asked = []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.asked.append(self.path.lstrip("/"))
                super().do_GET()

        handler = functools.partial(Handler, directory=str(folder))
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(tmp_path):
    upstream = tmp_path / "upstream"
    write(upstream, UPSTREAM_PATHS)
    server = Server(upstream)
    yield server
    server.stop()


def everything_below(folder):
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def test_download_fetches_every_file_from_the_pinned_commits(server, tmp_path):
    folder = locating.download(tmp_path / "new", server.url, progress=False)
    found = {name: path.read_bytes() for name, path in everything_below(folder).items()}
    assert found == CONTENT
    assert sorted(server.asked) == sorted(UPSTREAM_PATHS.values())


def test_the_default_address_is_githubs():
    name = "speech/english_dialog.csv"
    expected = "https://raw.githubusercontent.com/psychoinformatics-de/" + UPSTREAM_PATHS[name]
    assert locating.upstream_url(name) == expected


def test_download_from_a_file_tree(tmp_path):
    write(tmp_path / "mirror", UPSTREAM_PATHS)
    folder = locating.download(tmp_path / "new", (tmp_path / "mirror").as_uri(), progress=False)
    assert everything_below(folder).keys() == CONTENT.keys()


def test_resume_fetches_only_what_is_missing_or_damaged(server, tmp_path):
    folder = locating.download(tmp_path / "new", server.url, progress=False)
    (folder / "structure/shots.csv").write_bytes(b"star")
    (folder / "emotions/av1o01.csv").unlink()
    server.asked.clear()
    locating.download(folder, server.url, progress=False)
    again = ("structure/shots.csv", "emotions/av1o01.csv")
    assert sorted(server.asked) == sorted(UPSTREAM_PATHS[name] for name in again)
    assert (folder / "structure/shots.csv").read_bytes() == CONTENT["structure/shots.csv"]


def test_a_complete_folder_asks_for_nothing(server, tmp_path):
    write(tmp_path)
    locating.download(tmp_path, server.url, progress=False)
    assert server.asked == []


def test_a_wrong_checksum_names_the_address_and_keeps_nothing(server, tmp_path):
    bad = UPSTREAM_PATHS["speech/english_dialog.csv"]
    (server.folder / bad).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"old/speech/english_dialog\.csv has SHA-256"):
        locating.download(tmp_path / "new", server.url, progress=False)
    kept = everything_below(tmp_path / "new")
    assert "speech/english_dialog.csv" not in kept
    assert kept.keys() < CONTENT.keys()  # no temporary files either


def test_a_missing_upstream_file_names_the_address(server, tmp_path):
    (server.folder / UPSTREAM_PATHS["structure/shots.csv"]).unlink()
    with pytest.raises(ConnectionError, match=r"old/structure/shots\.csv: .*(404|Not Found)"):
        locating.download(tmp_path / "new", server.url, progress=False)


def test_offline_names_the_address_and_says_what_to_do(server, tmp_path):
    server.http.server_close()
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:\d+/study.*LDDU_DATA"):
        locating.download(tmp_path / "new", server.url, progress=False)


def test_a_connection_cut_half_way_is_an_error(tmp_path, monkeypatch):
    class Short(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")

    short = http.server.HTTPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=short.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with pytest.raises(ConnectionError, match="av1o01"):
            locating.download(tmp_path, f"http://127.0.0.1:{short.server_port}", progress=False)
    finally:
        short.shutdown()
        short.server_close()
    assert everything_below(tmp_path) == {}


def test_a_failed_write_leaves_no_temporary_file(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr(locating.os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        locating.download(tmp_path / "new", server.url, progress=False)
    assert everything_below(tmp_path / "new") == {}


@pytest.mark.parametrize("how", ["itself", "parent"])
@pytest.mark.parametrize("given", ["argument", "environment"])
def test_locate_a_local_copy(tmp_path, monkeypatch, how, given):
    root = tmp_path / "studyforrest"
    write(root)
    path = root if how == "itself" else tmp_path
    if given == "environment":
        monkeypatch.setenv("LDDU_DATA", str(path))
        assert locating.locate() == root
    else:
        monkeypatch.setenv("LDDU_DATA", "/nowhere")
        assert locating.locate(path) == root


def test_locate_checks_local_copies(tmp_path):
    write(tmp_path)
    (tmp_path / "structure/shots.csv").write_bytes(b"start\n")
    with pytest.raises(ValueError, match=r"structure/shots\.csv has SHA-256"):
        locating.locate(tmp_path)
    (tmp_path / "structure/shots.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no structure/shots\.csv in"):
        locating.locate(tmp_path)


def test_locate_falls_back_on_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = tmp_path / "lddu" / "studyforrest"
    write(root)  # complete, so that nothing is asked of the network
    assert locating.locate() == root
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert locating.cache_folder() == tmp_path / "home" / ".cache" / "lddu" / "studyforrest"


def test_every_listed_file_has_an_upstream_address():
    from lddu.data.studyforrest.checksums import SHA256

    assert len(SHA256) == 31
    assert len({locating.upstream_url(name) for name in SHA256}) == 31
    assert all(len(digest) == 64 for digest in SHA256.values())
