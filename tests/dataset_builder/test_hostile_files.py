"""Files that are broken, or made to do harm: one line and nothing written, or a row in dropped.jsonl."""

import gzip
import http.server
import threading
import zipfile

import pytest
from small_sources import entry, kanjidic2, kanjivg_svg, kanjivg_xml, rows

GOOD = {
    "kanjidic2": kanjidic2(entry("一", "one") + entry("万", "ten thousand")),
    "kanjivg": kanjivg_xml("04e00", "04e07"),
}
BOMB = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 12))
BOMB = f'<!ENTITY b0 "ha">{BOMB}'


def with_dtd(xml: str, root: str, dtd: str) -> str:
    """The file with `dtd` declared in it and the entity e, b11 or x used in its text."""
    body = xml.split(f"<{root}", 1)[1]
    return f"<!DOCTYPE {root} [{dtd}]>\n<{root}{body}"


BROKEN = {
    "an empty file": lambda xml, root: b"",
    "words": lambda xml, root: b"not XML at all",
    "zeros": lambda xml, root: bytes(1000),
    "a web page": lambda xml, root: b"<!DOCTYPE html><html><head><title>404</title><body><p>Not found<br></html>",
    "another XML": lambda xml, root: b"<?xml version='1.0'?><note><to>you</to></note>",
    "XML cut short": lambda xml, root: xml.encode()[: len(xml) * 2 // 3],
    "a tag not closed": lambda xml, root: xml.replace("</g>", "", 1).replace("</misc>", "", 1).encode(),
    "Latin-1 said to be UTF-8": lambda xml, root: (
        xml.replace("header>", "h\xe9ader>").encode("latin-1", "replace")
        if "header>" in xml
        else xml.replace("<kanji ", "\xe9<kanji ").encode("latin-1", "replace")
    ),
    "a truncated gzip": lambda xml, root: gzip.compress(xml.encode())[:-20],
    "a gzip of nothing": lambda xml, root: gzip.compress(b""),
    "a gzip that is damaged": lambda xml, root: (
        gzip.compress(xml.encode())[:60] + b"\0\0\0\0" + gzip.compress(xml.encode())[64:]
    ),
    "a zip that is not one": lambda xml, root: b"PK\x03\x04" + b"no zip" * 50,
    "an entity bomb": lambda xml, root: with_dtd(xml, root, BOMB).replace("fire", "&b11;").encode(),
    "an entity bomb in use": lambda xml, root: with_dtd(xml, root, BOMB).replace(">one<", ">&b11;<").encode(),
    "a bomb in an attribute": lambda xml, root: (
        with_dtd(xml, root, BOMB).replace("<g ", '<g title="&b11;" ').encode()
        if "<g " in xml
        else with_dtd(xml, root, BOMB).replace("<meaning>", '<meaning title="&b11;">').encode()
    ),
}


@pytest.fixture
def sources(tmp_path):
    """Options that name two good files, and the place of each."""
    for name, xml in GOOD.items():
        (tmp_path / name).write_text(xml, "utf-8")
    paths = {name: tmp_path / name for name in GOOD}
    options = ["kanji", "--resolution", "32", "--test_fraction", "0"]
    return [*options, "--kanjidic2", paths["kanjidic2"], "--kanjivg", paths["kanjivg"]], paths


@pytest.mark.parametrize("which", ["kanjidic2", "kanjivg"])
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_one_line_that_names_it_and_nothing_is_written(sources, build, tmp_path, which, how):
    options, paths = sources
    paths[which].write_bytes(BROKEN[how](GOOD[which], which))
    code, said = build(*options)
    line = said.strip().splitlines()[-1]
    assert code == 1 and line.startswith("error: ") and str(paths[which]) in line
    assert len(line) < 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kanjidic2", "kanjivg"]


@pytest.fixture
def spy():
    """A server that notes who asks, for documents that try to phone home."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("which", ["kanjidic2", "kanjivg"])
@pytest.mark.parametrize(
    "dtd",
    [
        '<!ENTITY e SYSTEM "{secret}">',
        '<!ENTITY e SYSTEM "{server}/e">',
        '<!ENTITY e PUBLIC "-//X//Y//EN" "{server}/p">',
        '<!ENTITY % x SYSTEM "{server}/x"> %x;',
        '<!ENTITY % x SYSTEM "{secret}"> %x;',
    ],
)
def test_an_external_entity_reads_no_file_and_asks_no_server(sources, build, spy, tmp_path, which, dtd):
    options, paths = sources
    secret, (server, asked) = tmp_path / "secret", spy
    secret.write_text("<!ENTITY e 'PASSWORD'>")
    xml = with_dtd(GOOD[which], which, dtd.format(secret=secret.as_uri(), server=server))
    paths[which].write_text(xml.replace(">one<", ">one &e;<").replace("<g ", "&e;<g ", 1), "utf-8")
    code, said = build(*options)
    assert code == 1 and "PASSWORD" not in said and "Traceback" not in said
    assert not asked and not (tmp_path / "out").exists()


def test_an_external_dtd_is_not_fetched(sources, build, spy, tmp_path):
    options, paths = sources
    server, asked = spy
    xml = GOOD["kanjivg"].split("<kanjivg", 1)[1]
    paths["kanjivg"].write_text(f'<!DOCTYPE kanjivg SYSTEM "{server}/k.dtd"><kanjivg{xml}', "utf-8")
    assert build(*options)[0] == 0
    assert not asked


@pytest.mark.parametrize("packed", ["folder", "zip"])
def test_a_hostile_svg_among_good_ones_is_a_row_in_dropped(sources, build, spy, tmp_path, packed):
    options, paths = sources
    server, asked = spy
    svg = kanjivg_svg("04e00")
    hostile = {
        "04e01": svg.replace("<!ATTLIST", f"{BOMB}<!ATTLIST").replace(">1<", ">&b11;<"),
        "04e03": svg.replace("<!ATTLIST", f'<!ENTITY e SYSTEM "{server}/e"><!ATTLIST').replace(">1<", ">&e;<"),
        "04e05": svg[:500],
        "04e06": "",
        "04e08": svg.replace(' d="M20', ' d="M20,20L5,5&quot;/>&lt;image href=&quot;' + server + "&quot;/>M20"),
    }
    files = hostile | {"04e00": svg, "04e07": kanjivg_svg("04e07")}
    meanings = "".join(entry(chr(int(name, 16)), "thing") for name in files)
    paths["kanjidic2"].write_text(kanjidic2(meanings), "utf-8")
    paths["kanjivg"].unlink()
    if packed == "folder":
        paths["kanjivg"].mkdir()
        for name, text in files.items():
            (paths["kanjivg"] / f"{name}.svg").write_text(text, "utf-8")
    else:
        with zipfile.ZipFile(paths["kanjivg"], "w") as archive:
            for name, text in files.items():
                archive.writestr(f"kanji/{name}.svg", text)
    assert build(*options)[0] == 0
    assert [row["name"] for row in rows(tmp_path / "out" / "dropped.jsonl")] == sorted(hostile)
    assert all(row["reason"].startswith("KanjiVG") for row in rows(tmp_path / "out" / "dropped.jsonl"))
    assert not asked


def test_a_damaged_member_of_a_zip_is_one_line(sources, build, tmp_path):
    options, paths = sources
    with zipfile.ZipFile(paths["kanjivg"], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kanji/04e00.svg", kanjivg_svg("04e00"))
    damaged = bytearray(paths["kanjivg"].read_bytes())
    damaged[80:90] = bytes(10)
    paths["kanjivg"].write_bytes(damaged)
    code, said = build(*options)
    assert code == 1 and said.strip().splitlines()[-1].startswith(f"error: {paths['kanjivg']}: a broken")


@pytest.mark.parametrize("flag", ["--kanjidic2", "--kanjivg"])
@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("nowhere/kanji.xml.gz", "no such file or folder"),
        ("", "a folder, where one XML file is wanted|no characters in it"),
        ("ftp://example.org/kanji.xml", "no such file or folder"),
        ("x" * 5000, "no such file or folder|name too long"),
        ("nul\0byte", "no such file or folder|null byte"),
    ],
)
def test_a_path_that_is_no_path_is_one_line(sources, build, tmp_path, monkeypatch, flag, path, complaint):
    monkeypatch.chdir(tmp_path)
    code, said = build(*sources[0], flag, path)
    line = said.strip().splitlines()[-1]
    assert code == 1 and line.startswith("error: ") and any(part in line for part in complaint.split("|"))
