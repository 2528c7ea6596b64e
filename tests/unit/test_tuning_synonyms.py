"""Vocabularies are read as they are, flaws and all, and expand into a query that a person can read."""

from __future__ import annotations

import gc
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import ParseError
from monitor.match import Matcher, parse_query
from monitor.match.synonyms import (
    builtin_concepts,
    expand,
    expansion,
    find_concepts,
    is_ambiguous,
    natural_order,
    read_mesh,
    read_obo,
    read_vocabulary,
)
from monitor.model import Article, Concept, Or, Term, Topic

HEAD = '<?xml version="1.0"?>\n<!DOCTYPE DescriptorRecordSet SYSTEM "https://nlmpubs.example.org/desc.dtd">\n'
MESH = (
    HEAD
    + """<DescriptorRecordSet LanguageCode="eng">
<DescriptorRecord DescriptorClass="1">
 <DescriptorUI>D003924</DescriptorUI>
 <DescriptorName><String>Diabetes Mellitus, Type 2</String></DescriptorName>
 <DateCreated><Year>1999</Year><Month>01</Month><Day>01</Day></DateCreated>
 <AllowableQualifiersList><AllowableQualifier><QualifierReferredTo><QualifierUI>Q1</QualifierUI>
  <QualifierName><String>blood</String></QualifierName></QualifierReferredTo></AllowableQualifier>
 </AllowableQualifiersList>
 <ConceptList>
  <Concept PreferredConceptYN="Y"><ConceptUI>M1</ConceptUI>
   <ConceptName><String>Diabetes Mellitus, Type 2</String></ConceptName>
   <TermList>
    <Term ConceptPreferredTermYN="Y"><TermUI>T1</TermUI><String>Diabetes Mellitus, Type 2</String></Term>
    <Term><TermUI>T2</TermUI><String>Type 2 Diabetes Mellitus</String></Term>
    <Term><TermUI>T3</TermUI><String>Diabetes, Type 2</String></Term>
    <Term><TermUI>T4</TermUI><String>NIDDM</String></Term>
   </TermList></Concept>
  <Concept PreferredConceptYN="N"><ConceptUI>M2</ConceptUI>
   <ConceptName><String>MODY</String></ConceptName>
   <ConceptRelationList><ConceptRelation RelationName="NRW"><Concept1UI>M1</Concept1UI></ConceptRelation>
   </ConceptRelationList>
   <TermList><Term><TermUI>T5</TermUI><String>Maturity-Onset Diabetes</String></Term></TermList></Concept>
 </ConceptList>
</DescriptorRecord>
<DescriptorRecord DescriptorClass="1">
 <DescriptorUI>D000001</DescriptorUI><DescriptorName><String>Calcimycin &amp; A-23187</String></DescriptorName>
</DescriptorRecord>
</DescriptorRecordSet>
"""
)

HP = """format-version: 1.2
data-version: hp/releases/2026-02-16
ontology: hp
! a comment

[Term]
id: HP:0001649 ! Tachycardia
name: Tachycardia
def: "A rapid heart rate." [HPO:x]
synonym: "Fast heart rate" EXACT layperson [ORCID:0]
synonym: "Heart \\"racing\\"" EXACT []
synonym: "Palpitations" RELATED []
synonym: "Rapid heart beat" EXACT HP:0034334 {comment="x"} []
xref: UMLS:C0039231

[Term]
id: HP:0000002
name: old one
is_obsolete: true

[Term]
id: UBERON:0000948
name: heart

[Typedef]
id: part_of
name: part of
"""


def mesh(text: str, name: str = "desc2026.xml", **more: object) -> list[Concept]:
    return list(read_mesh(io.BytesIO(text.encode()), name, **more))  # type: ignore[arg-type]


def obo(text: str, name: str = "hp.obo", **more: object) -> list[Concept]:
    return list(read_obo(io.BytesIO(text.encode()), name, **more))  # type: ignore[arg-type]


def concept(name: str, *terms: str) -> Concept:
    return Concept(source="test", year=2026, code="1", name=name, terms=terms)


# --- MeSH -----------------------------------------------------------------------------------------------------


def test_mesh_descriptor_gives_the_terms_that_mean_the_same():
    first, second = mesh(MESH)

    assert (first.source, first.year, first.code, first.name) == ("mesh", 2026, "D003924", "Diabetes Mellitus, Type 2")
    assert first.terms == ("Diabetes Mellitus, Type 2", "Type 2 Diabetes Mellitus", "Diabetes, Type 2", "NIDDM")
    assert second.terms == ("Calcimycin & A-23187",)


def test_narrower_concepts_of_a_mesh_descriptor_come_when_asked_for():
    assert "Maturity-Onset Diabetes" in mesh(MESH, scopes=("EXACT", "NARROW"))[0].terms
    assert "Maturity-Onset Diabetes" not in mesh(MESH, scopes=("EXACT", "BROAD"))[0].terms


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (MESH.replace("</DescriptorRecordSet>", ""), 31, ""),
        (MESH.replace("<String>NIDDM</String>", "<String>NIDDM</Strin>"), 18, "mismatch"),
        (MESH.replace("<DescriptorUI>D000001</DescriptorUI>", ""), 27, "without DescriptorUI"),
        (HEAD + "<html><p>Not found</p></html>", 3, "<html>"),
        ("", 1, ""),
    ],
    ids=["cut off", "mismatched tag", "no id", "another root", "empty"],
)
def test_broken_mesh_file_is_told_by_its_line(text, line, part):
    with pytest.raises(ParseError) as error:
        mesh(text)

    assert abs(int(str(error.value).partition("line ")[2].partition(":")[0]) - line) <= 1
    assert part in str(error.value)


def test_what_came_before_the_break_has_been_given():
    reader = read_mesh(io.BytesIO(MESH[:-60].encode()), "desc2026.xml")

    assert next(reader).code == "D003924"
    with pytest.raises(ParseError):
        list(reader)


def with_entities(entities: str, text: str) -> str:
    name = f"<DescriptorUI>D1</DescriptorUI><DescriptorName><String>{text}</String></DescriptorName>"
    record = f"<DescriptorRecordSet><DescriptorRecord>{name}</DescriptorRecord></DescriptorRecordSet>"
    return f"<!DOCTYPE DescriptorRecordSet [{entities}]>{record}"


def test_entity_of_a_hostile_file_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")

    found = mesh(with_entities(f'<!ENTITY e SYSTEM "{secret.as_uri()}">', "Pain &e;"))

    assert [one.name for one in found] == ["Pain"]


def test_entities_that_blow_up_are_not_opened():
    grown = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    started = time.process_time()

    with pytest.raises(ParseError, match=r"line 1: .*ntity"):
        mesh(with_entities(f'<!ENTITY a0 "{"x" * 100}">{grown}', "Pain &a8;"))

    assert time.process_time() - started < 1


class Endless(io.RawIOBase):
    """A MeSH file of any number of records, made as it is read."""

    def __init__(self, records: int) -> None:
        self._parts = self._make(records)
        self._left = b""

    def _make(self, records: int) -> Iterator[bytes]:
        yield (HEAD + "<DescriptorRecordSet>").encode()
        terms = "".join(f"<Term><String>Term {n}</String></Term>" for n in range(40))
        for number in range(records):
            concept = f'<Concept PreferredConceptYN="Y"><TermList>{terms}</TermList></Concept>'
            name = f"<DescriptorUI>D{number}</DescriptorUI><DescriptorName><String>N{number}</String></DescriptorName>"
            yield f"<DescriptorRecord>{name}<ConceptList>{concept}</ConceptList></DescriptorRecord>\n".encode()
        yield b"</DescriptorRecordSet>"

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._left) < size and (part := next(self._parts, b"")):
            self._left += part
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_file():
    sum(1 for _ in read_mesh(Endless(300), "desc2026.xml"))  # type: ignore[arg-type]
    gc.collect()
    before = resident()
    most, count = 0, 0

    for count, _ in enumerate(read_mesh(Endless(2_500), "desc2026.xml"), 1):  # type: ignore[arg-type]
        most = max(most, resident()) if count % 250 == 0 else most

    assert count == 2_500
    assert most - before < 12_000_000  # all of it at once takes more than 35 MB


# --- OBO ------------------------------------------------------------------------------------------------------


def test_obo_term_gives_its_exact_synonyms():
    (found,) = obo(HP)

    assert (found.source, found.year, found.code) == ("hp", 2026, "HP:0001649")
    assert found.terms == ("Tachycardia", "Fast heart rate", 'Heart "racing"', "Rapid heart beat")


def test_related_synonyms_come_when_asked_for():
    assert "Palpitations" in obo(HP, scopes=("EXACT", "RELATED"))[0].terms
    with pytest.raises(ValueError, match="CLOSE"):
        obo(HP, scopes=("CLOSE",))


def test_windows_line_ends_and_a_byte_order_mark_are_no_trouble():
    assert obo("\ufeff" + HP.replace("\n", "\r\n")) == obo(HP)


@pytest.mark.parametrize(
    ("old", "new", "line", "part"),
    [
        ('synonym: "Fast heart rate" EXACT', "synonym: Fast heart rate EXACT", 10, "quotation marks"),
        ("name: Tachycardia\n", "", 6, "without name"),
        ("id: HP:0001649 ! Tachycardia\n", "", 6, "without id"),
        ("[Typedef]", "[Typedef", 25, "] is missing"),
        ("xref: UMLS", "xref UMLS C\nxref: UMLS", 14, "tag: value"),
    ],
)
def test_broken_obo_file_is_told_by_its_line(old, new, line, part):
    text = HP.replace(old, new)

    with pytest.raises(ParseError, match=f"line {line}: ") as error:
        obo(text)

    assert part in str(error.value)


def test_obo_that_is_not_utf8_or_has_an_endless_line_is_told():
    with pytest.raises(ParseError, match="line 2: not UTF-8"):
        list(read_obo(io.BytesIO(b"format-version: 1.2\nname: \xe9\n"), "x.obo"))
    with pytest.raises(ParseError, match="line 1: longer"):
        list(read_obo(io.BytesIO(b"x" * 1_000_000), "x.obo"))


def test_kind_of_vocabulary_is_told_by_its_content():
    assert next(read_vocabulary(io.BytesIO(MESH.encode()), "a")).source == "mesh"
    assert next(read_vocabulary(io.BytesIO(HP.encode()), "a")).source == "hp"
    with pytest.raises(ParseError, match="neither"):
        read_vocabulary(io.BytesIO(b"PK\x03\x04"), "desc2026.zip")


# --- expanding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "natural"),
    [
        ("Diabetes Mellitus, Type 2", "Type 2 Diabetes Mellitus"),
        ("Carcinoma, Non-Small-Cell Lung", "Non-Small-Cell Lung Carcinoma"),
        ("Receptors, Opioid, mu", "mu Opioid Receptors"),
        ("Wounds, Cuts, and Burns", "Wounds, Cuts, and Burns"),
        ("1,2-Dipalmitoylphosphatidylcholine", "1,2-Dipalmitoylphosphatidylcholine"),
        ("Pain", "Pain"),
    ],
)
def test_inverted_heading_is_turned_round(heading, natural):
    assert natural_order(heading) == natural


def test_forms_that_match_the_same_stand_once():
    found = expansion(
        concept("IL-6", "IL 6", "IL6", "Interleukin 6", "interleukin-6", "Interleukins 6", "Tumour", "tumours")
    )

    assert found.query == '"IL-6" OR "Interleukin 6" OR Tumour'


def test_expansion_is_a_query_that_finds_each_of_its_terms():
    for one in builtin_concepts():
        made = expansion(one, ambiguous=True)
        parse_query(made.query)
        matcher = Matcher()
        matcher.add(Topic(id=1, slug="x", name="x", query=made.query))
        for term in one.terms:
            article = Article(url="", canonical_url="", key="", title=f"News of {natural_order(term)} today")
            assert matcher.match(article), term


def test_everyday_words_and_short_forms_are_left_out_and_told():
    found = expansion(concept("Alzheimer disease", "AD", "PD", "act", "ALS", "NIDDM"))

    assert found.query == '"Alzheimer disease" OR ALS OR NIDDM'
    assert found.ambiguous == ("AD", "PD", "act")
    assert expansion(concept("x y z", "AD"), ambiguous=True).query == '"x y z" OR ="AD"'


@pytest.mark.parametrize("term", ["AD", "aim", "WHO", "12", "als", "α"])
def test_ambiguous_terms(term):
    assert is_ambiguous(term) is (term != "α")


def test_name_stays_however_short_it_is():
    assert expand(concept("Pain", "pains")) == "Pain"


def test_cap_is_told():
    found = expansion(concept("drug", *(f"drug{n}x" for n in range(70))), limit=60)

    assert (len(found.terms), found.dropped) == (60, 11)


def test_hostile_terms_stay_inside_their_quotes():
    made = parse_query(expand(concept('A" OR title:x', "B) NOT (c", 'drug"*', "HLA-B*27", "„quoted“", "[title]")))

    assert isinstance(made, Or)
    assert {(part.field, part.prefix) for part in made.parts if isinstance(part, Term)} == {("", False)}
    assert len(made.parts) == 6


def test_mtor_offers_its_names():
    (found,) = find_concepts("MTOR", builtin_concepts())

    assert "mechanistic target of rapamycin" in found.terms
    assert "MTORC1" in expand(found)
    assert [one.code for one in find_concepts("type 2 diabetes mellitus", builtin_concepts())] == ["type-2-diabetes"]
    assert len(builtin_concepts()) >= 15
