"""Every kind of table gives the same columns, and whatever a file holds, what comes out is a table or our own error."""

import csv
import gzip
import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnjax.data import encodings
from rnnjax.data.tables import open_table, read_table
from rnnjax.errors import DataError, UsageError

NAMES = ("id", "text", "label")
ROWS = [("1", 'so "good",\nreally', "pos"), ("2", "a; b | c", "neg"), ("3", None, "pos")]


def written(path: Path, delimiter: str = ",") -> Path:
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    objects = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    if suffix == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pyarrow.parquet = pytest.importorskip("pyarrow.parquet")
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(objects), path)
        return path
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as file:
        if suffix == "json":
            json.dump(objects, file, indent=1)
        elif suffix in ("jsonl", "ndjson"):
            file.write("\n".join(map(json.dumps, objects)))
        else:
            csv.writer(file, delimiter=delimiter).writerows([NAMES, *ROWS])
    return path


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.CSV.gz", "a.json", "a.json.gz", "a.jsonl", "a.ndjson.gz", "a.parquet"]
)
def test_every_kind_of_table_gives_the_same_columns(tmp_path, name):
    table = read_table(written(tmp_path / name))
    assert table.columns == NAMES
    assert list(zip(*(table.values[column] for column in NAMES), strict=True)) == ROWS
    assert len(table.places) == len(ROWS)
    assert all(place.startswith(f"{tmp_path / name}") for place in table.places)


@pytest.mark.parametrize(("delimiter", "shown"), [(";", "';'"), ("\t", "tab"), ("|", "'|'")])
def test_a_delimiter_is_found_out_and_shown(tmp_path, delimiter, shown):
    table = read_table(written(tmp_path / "a.csv", delimiter))
    assert (table.columns, table.understood) == (NAMES, (f"delimiter {shown} (found out)",))
    assert table.places == [f"{tmp_path / 'a.csv'}:{line}" for line in (2, 4, 5)]
    (tmp_path / "a.data").write_text("a^b\n1^2\n")
    assert read_table(tmp_path / "a.data", delimiter="^").values == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("text,label\na,b\n", True),
        ("0,1,2\n5,4,6\n", True),  # steps, as pandas writes them
        ("country,2021,2020\nFrance,3,5\n", True),
        ("0\n5\n4\n", True),
        ("fine,pos\nbad,neg\n", True),  # not plain
        ("ham,see you\nspam,win now\nham,at six\nham,ok\n", False),  # the messages of SMSSpamCollection
        ("text,label\na,b\ntext,label\nc,d\ntext,label\ne,f\n", True),  # files that were joined
        ("fine,x\nbad,x\ngood,y\n", True),  # once is no habit
        ("text,sport\na,sport\nb,\nc,sport\n", True),  # a label a column, as pivot tables have them
        ("5.1,3.5,1.4,setosa\n4.9,3.0,1.4,setosa\n", False),
        ("-1.5\n2.5\n", False),
        (f"{'a long review ' * 9},pos\n{'another one ' * 9},neg\n", False),
        (f"{'How content are you with the place you live in? ' * 3},age\nvery,5\n", True),  # a survey's question
    ],
)
def test_a_first_line_is_data_where_that_is_plain(tmp_path, content, header):
    path = tmp_path / "a.csv"
    path.write_text(content)
    rows = content.count("\n")
    table = read_table(path)
    assert (table.header, len(table)) == (header, rows - header)
    assert len(read_table(path, header=False)) == rows
    assert read_table(path, header=False).columns[0] == "column1"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "un café “très” français, 5 €, and much more of plain text"),
        ("shift_jis", "これはとても良い映画でした"),
        ("cp949", "이 영화는 정말 재미있었습니다"),
        ("gb18030", "这部电影很好看,我非常喜欢"),
        ("cp1251", "Очень хороший фильм, всем советую"),
        ("koi8_r", "Очень хороший фильм, всем советую"),
        ("utf-16-le", "plain words in two bytes each"),
    ],
)
def test_the_likely_encoding_is_named_and_can_be_given(tmp_path, encoding, text):
    path = tmp_path / "a.csv"
    path.write_bytes(f"text,label\n{text.replace(',', ' ')},x\n".encode(encoding))
    with pytest.raises(DataError, match=rf"a\.csv:[12]: .*it looks like {encoding}: give --data.encoding {encoding}"):
        read_table(path)
    assert read_table(path, encoding=encoding).values["text"] == [text.replace(",", " ")]
    assert encodings.hint("plain".encode("ascii")) is None


def test_a_byte_order_mark_of_utf_16_is_followed_and_said(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\nschön,x\n".encode("utf-16"))
    table = read_table(path)
    assert table.values == {"text": ["schön"], "label": ["x"]}
    assert table.understood == ("encoding utf-16 (the first bytes say so)",)


def test_columns_that_are_called_alike_are_told_apart(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,text,\na,b,c,d\n")
    assert read_table(path).columns == ("text (column 1)", "label", "text (column 3)", "column4")


def test_keys_that_come_late_are_columns_too(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2, "b": [3]}\n')
    assert read_table(path).values == {"a": [1, 2], "b": [None, [3]]}


BAD = {
    "a.csv": {
        b"": "the first line must name the columns",
        b"a,b\n": "there is no row in it",
        b"a,b\n1\n": r"a\.csv:2: 1 field where the first line names 2 \(delimiter ','\)",
        b"\x1f\x8b\x08": "compressed by gzip: let its name end in .gz",
        b"PK\x03\x04": "spreadsheet of Excel: save the sheet as CSV",
    },
    "a.csv.gz": {
        b"a,b\n1,2\n": "cannot be unpacked",
        gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-12]: "cannot be unpacked",
    },
    "a.json": {
        b"[1]": r"a\.json, row 1: not a JSON object",
        b'[{"a": 1},\n}]': r"a\.json:2: not JSON",
        b"5": "an array of objects",
        b"[]": "there is no row",
        b"[{}]": "an object without keys",
    },
    "a.parquet": {b"PAR1": "not a Parquet file", b"": "not a Parquet file"},
    "a.xlsx": {b"PK": r"not a kind of file known here \(\.csv, "},
}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name in BAD for content in BAD[name]])
def test_what_cannot_be_read_is_named(tmp_path, name, content):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=BAD[name][content]):
        read_table(tmp_path / name)


@pytest.mark.parametrize("options", [{"delimiter": "ab"}, {"delimiter": '"'}, {"encoding": "utf8000"}])
def test_options_that_cannot_be(tmp_path, options):
    with pytest.raises(UsageError):
        read_table(written(tmp_path / "a.csv"), **options)


CELLS = st.one_of(
    st.sampled_from(
        ["", " ", "nan", "1e999", "-0.0", '"', '""', '"a', "a\nb", "a\r", "\0", "text", "label", "9" * 400]
    ),
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
)
QUOTED = CELLS.map(lambda cell: '"' + cell.replace('"', '""') + '"')


@st.composite
def odd_files(draw) -> bytes:
    """Something like a table: rows of any number of fields, delimiters, line ends, byte order marks and encodings."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60))
    delimiter, end = draw(st.sampled_from(",;\t| ")), draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n", ""]))
    width = draw(st.integers(1, 4))
    cells = st.one_of(CELLS, QUOTED)
    rows = st.one_of(
        st.lists(cells, min_size=width, max_size=width),
        st.lists(cells, max_size=5),
        st.dictionaries(st.sampled_from(["text", "label", "x", "\ud800"]), st.from_type(type(None)) | CELLS),
    )
    made = [
        json.dumps(row) if isinstance(row, dict) else delimiter.join(row) for row in draw(st.lists(rows, max_size=6))
    ]
    text = draw(st.sampled_from(["", "", "\ufeff", "text,label\n", "sep=;\n", "["])) + end.join(made)
    text += draw(st.sampled_from(["", "\n", "]", "\n\n  \n"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-16-le", "cp1252", "shift_jis", "utf-32"]))
    data = text.encode(encoding, "replace" if "utf" not in encoding else "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        data = gzip.compress(data, mtime=0)[: draw(st.integers(1, 60))]
    return data


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    content=odd_files(),
    name=st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl", "a.csv.gz", "a.jsonl.gz", "a.parquet", "a.txt"]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "header": st.booleans(),
            "delimiter": st.sampled_from([",", ";", "tab", "x"]),
            "encoding": st.sampled_from(["utf-8", "cp1252", "utf-16", "utf-16-be", "shift_jis", "gb18030", "utf-7"]),
        },
    ),
)
def test_of_odd_tables_nothing_comes_out_but_a_table_or_our_error(tmp_path_factory, content, name, options):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        table = read_table(path, **options)
    except DataError as error:
        assert str(path) in str(error)
        return
    assert len(set(table.columns)) == len(table.columns) == len(table.values)
    assert {len(values) for values in table.values.values()} == {len(table.places)} != {0}
    assert [len(row) for _, row in open_table(path, **options, ahead=None).rows] == [len(table.columns)] * len(table)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=9))
def test_what_pythons_csv_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "back.csv"
    rows = [tuple(cell.replace("\0", "").encode("utf-8", "ignore").decode() for cell in row) for row in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("first", "second"), *rows])
    table = read_table(path)
    assert list(zip(table.values["first"], table.values["second"], strict=True)) == [
        (a or None, b or None) for a, b in rows
    ]
    assert not any(isinstance(value, float) and math.isnan(value) for value in table.values["first"])
