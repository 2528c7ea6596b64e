from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.text import BARRIER, MAX_INDEX_TOKEN, Folded, forms, index_text, stem, stems_beyond, tokens, words_of

ALPHABET = "aAsSeEkzI06 .,!?'’\"“”()[]-–\n\t\x01_ßÄé\u0301\u00ad\u200bαΩµλﬁ½²₂™æЖш癌한ก\ud800😀İ"
any_text = st.text(alphabet=st.one_of(st.sampled_from(ALPHABET), st.characters()), max_size=80)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Sjögren", "sjogren"),
        ("Sjo\u0308gren", "sjogren"),
        ("TNFα", "tnf alpha"),
        ("NF-κB", "nf kappa b"),
        ("λ-light", "lambda light"),  # Unicode calls the letter LAMDA
        ("5 µg or 5 μg", "5 mu g or 5 mu g"),
        ("ﬁbrosis", "fibrosis"),
        ("opi\u00adoid", "opioid"),
        ("opi\u200boid", "opioid"),
        ("Straße Ærø Łódź", "strasse aero lodz"),
        ("CO₂ and Ca²⁺", "co2 and ca 2"),
        ("Ozempic™ Wegovy®", "ozempic wegovy"),
        ("tolerance²", "tolerance 2"),
        ("½ dose", "1 2 dose"),
        ("non–small-cell", "non small cell"),
        ("snake_case", "snake case"),
        ("Parkinson's Alzheimer’s CHILDREN'S", "parkinson alzheimer children"),
        ("'quoted' patients' d'Alzheimer", "quoted patients d alzheimer"),
        ("癌症", "qhgem qhfmh"),
    ],
)
def test_fold(text, folded):
    assert " ".join(tokens(text)) == folded


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It hurts. Pain follows.", 2),
        ("Does it hurt? Yes! (Much.) And more.", 4),
        ("He said “no.” Then left.", 2),
        ("Heading\n\nText", 2),
        ("Heading\r\n \r\nText", 2),
        ("One line\nbroken", 1),
        ("E. coli, S. Aureus and Dr. Jones vs. Placebo, approx. 5 mg", 1),
        ("3.5 mg of www.example.org", 1),
        ("It rose. mTOR fell.", 2),
    ],
)
def test_barriers_stand_at_sentence_and_paragraph_ends(text, sentences):
    assert " ".join(tokens(text)).strip(f"{BARRIER} ").count(BARRIER) == sentences - 1


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        ("diagnosis", "diagnoses"), ("metastasis", "metastases"), ("virus", "viruses"), ("disease", "diseases"),
        ("biopsy", "biopsies"), ("child", "children"), ("bacterium", "bacteria"), ("vertebra", "vertebrae"),
        ("nucleus", "nuclei"), ("mouse", "mice"), ("index", "indices"), ("carcinoma", "carcinomata"),
        ("arthritis", "arthritides"), ("abscess", "abscesses"), ("headache", "headaches"), ("pancreas", "pancreas"),
        ("appendix", "appendices"), ("testis", "testes"), ("dose", "doses"), ("echo", "echoes"), ("ssri", "ssris"),
    ],
)  # fmt: skip
def test_both_numbers_of_a_noun_meet(singular, plural):
    assert stem(singular) == stem(plural)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("severe", "several"), ("medical", "medication"), ("clinic", "clinical"), ("positive", "position"),
        ("tolerance", "tolerant"), ("animal", "animation"), ("operate", "operator"), ("news", "new"),
        ("thesis", "these"), ("testis", "test"), ("pus", "pu"),
    ],
)  # fmt: skip
def test_different_words_stay_apart(one, other):
    assert stem(one) != stem(other)


@given(any_text)
def test_places_point_at_text_that_folds_to_the_same_token(text):
    folded = Folded(text)

    assert len(folded.tokens) == len(folded.cased)
    for index, token in enumerate(folded.tokens):
        start, end = folded.place(index)
        assert 0 <= start < end <= len(text)
        assert folded.cased[index].lower() == token
        if token != BARRIER:
            assert token in Folded(text[start:end]).tokens


@given(any_text)
def test_places_never_run_backwards(text):
    folded = Folded(text)
    places = [folded.place(index) for index in range(len(folded.tokens))]

    assert places == sorted(places)


@given(any_text)
def test_index_tokens_suit_any_index(text):
    for token in index_text(text).split(" "):
        assert token == "" or (token.isascii() and token.isalnum() and token == token.lower())
        assert len(token) <= MAX_INDEX_TOKEN


@given(any_text)
def test_index_text_keeps_the_order_of_the_tokens(text):
    assert index_text(text).split() == [stem(token)[:64] for token in tokens(text) if token != BARRIER]


@given(st.text(alphabet="aeiosux ABZ", max_size=20))
def test_short_way_for_plain_words_folds_as_the_long_way(text):
    assert words_of(text) == [token for token in tokens(text) if token != BARRIER]


suffixed = st.builds(
    "{}{}".format,
    st.text(alphabet="abexioslmt", min_size=1, max_size=6),
    st.sampled_from(
        ["s", "es", "ses", "ies", "is", "sis", "itides", "omata", "ae", "xes", "ches", "oes", "", "us", "e"]
    ),
)


@given(st.one_of(suffixed, st.sampled_from(["mice", "bacteria", "children", "news", "indices"])))
def test_forms_undo_stem(token):
    assert token in forms(stem(token))


@given(suffixed, st.integers(3, 12))
def test_stems_beyond_a_prefix_miss_nothing(token, length):
    prefix = token[:length]
    found = stem(token)

    assert found.startswith(prefix) or found in stems_beyond(prefix)


def test_hostile_text_folds_in_linear_time():
    for text in (
        "." * 300_000,
        "\n" * 300_000,
        ". " * 150_000,
        "'" * 300_000,
        "癌" * 300_000,
        "!\n" * 100_000 + " " * 99_999,
    ):
        Folded(text)
