"""The words that the query language gives a meaning of its own."""

from __future__ import annotations

TEXT_FIELDS = ("", "title", "body")
FIELDS = {
    "title": "title", "ti": "title", "intitle": "title",
    "body": "body", "ab": "body", "abstract": "body", "text": "", "tiab": "",
    "source": "source", "author": "author", "au": "author", "journal": "journal",
    "provider": "provider", "publisher": "provider", "doi": "doi", "lang": "lang", "language": "lang",
}  # fmt: skip
SHOWN_FIELDS = ("title", "body", "tiab", "source", "author", "journal", "provider", "doi", "lang")

TAGS = {
    "ti": "title", "title": "title", "tiab": "", "title/abstract": "", "tw": "", "text word": "", "text words": "",
    "all": "", "all fields": "", "ab": "body", "abstract": "body",
    "au": "author", "author": "author", "1au": "author", "auth": "author", "fau": "author", "lastau": "author",
    "ta": "journal", "journal": "journal", "jour": "journal", "so": "journal",
    "la": "lang", "lang": "lang", "language": "lang", "doi": "doi", "aid": "doi", "lid": "doi",
}  # fmt: skip
HEADING_TAGS = frozenset({
    "mh", "mesh", "mesh terms", "mesh:noexp", "mh:noexp", "mesh terms:noexp", "majr", "mesh major topic", "nm",
    "supplementary concept", "ot", "other term", "sh", "mesh subheading", "pa",
})  # fmt: skip
UNSUPPORTED_TAGS = frozenset({
    "dp", "pdat", "edat", "mhda", "crdt", "date - publication", "date - entry", "pt", "publication type", "sb",
    "filter", "subset", "ad", "affiliation", "gr", "vi", "ip", "pg", "pmid", "uid", "is",
})  # fmt: skip

LANGUAGES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt",
    "dutch": "nl", "chinese": "zh", "japanese": "ja", "russian": "ru", "polish": "pl", "swedish": "sv",
    "eng": "en", "ger": "de", "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "dut": "nl", "chi": "zh",
    "jpn": "ja", "rus": "ru",
}  # fmt: skip

STOP_WORDS = frozenset(
    """a about after all also among an and any are as at be been before being between both but by can could did do does
    during each few for from further had has have he her here his how i if in into is it its may more most no nor not of
    on only or other our out over own s same she should so some such t than that the their them then there these they
    this those through to too under until up very was we were what when where which while who whom why will with would
    you your""".split()  # noqa: SIM905  (a list of words reads better than 110 string literals)
)

# Acronyms in medicine whose letters are also an everyday word: in capitals they are meant, so only capitals match.
COMMON_WORDS = STOP_WORDS | frozenset(
    """act ace ad add age aid aids aim air ant apt arm art ash ask asp bad bag bat bath bed best bid big bit bold bone
    book box boy brain bug bus cab call calm camp cap car card care cart case cast cat chap chart charm chat chip chop
    clear click clot coat code cold come cost cop cope copy core cots cover cram cream crew crisp cup cut dad dam damp
    dare dart dash date day deep den dense diet dip dot drop dry dual ear early east easy eat edit end era ever eye face
    fact fair fan far fast fat feel feet file fine fire fit fix flag flair flame flow flu focus food foot form free full
    fun gap gas gate gem get give glow goal gold good great grid grip gum hand hard harp has hat heal hear heart heat
    held help hers hide high hint hip hit hold home hope horizon host hot hub ice ill imagine impact iris jam jet job
    jump keep key kid kit lab lad lady lamp land lap last late law lead leader leap led leg less let life lift light
    like line lit live load log long look lose lot low mad made make man map mark mask mass mast match mate math me mean
    men mend mesh met mice mild mind mine mint miss mix mode moms mood moon most move mud nap near neat need nest net
    new next nice noble node none nose note now odd oil old once one open pace pack pad pain pals pan pas past pat path
    pause pay peak pen per pest pet pick pie pig pin pipe pit place plan play plus pod point poor pop port post power
    press pride prime prior prism promise prove pump pure put race rage rain raise ram ran rap rare rash rat rate raw
    ray reach read real red relief rest rice rich ride right ring rip rise risk road rob rock role room root rub rule
    run sad safe said sail salt same sand sap save say scale scan scar scope score sea search seat see self sense set
    sex shape share sharp shine ship shock shop short side sign sip sit six skin sleep slim slow smart smile soap soft
    solid son sort sound space spark speed spot spread spring sprint stamp stand star start steps still stop storm
    strong sum sun sure swap swift table tag take talk tall tan tap tar target task team tell ten term test thin think
    tic tie time tin tip tired top torch tour toy track trap tree trial trip trust try tube turn twin two unit us use
    van vast vet via view visa vision vital voice walk wall war warm wash wave way weak wear web week well west wet
    wide win wind wing wish work year yes zone""".split()  # noqa: SIM905
)
