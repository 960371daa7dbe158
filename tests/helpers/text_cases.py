"""Cases on which Python and Spark must agree."""

MASKED_TEXTS = {
    "Lyon": "Lyon",
    "": "",
    "Salt Lake City": "Salt Lake City",
    "https://randomuser.me/api/portraits/women/62.jpg": "https://randomuser.me/api/portraits/women/62.jpg",
    "Apt. 5; id 7": "Apt. 5; id 7",
    '{"password":"hunter2"}': '{"password":null',
    '{"id":{"value":"1"}}': '{"id":null',
    "{'SALT' : 'hunter2'} x": "{'SALT' : null",
    "{id: 7}": "{id: null",
    r'{"pass\u0077ord":"hunter2"}': r'{"pass\u0077ord":null',
    r"{\"Pass\\u0077ORD\" : 1}": r"{\"Pass\\u0077ORD\" : null",
    r"{\u0022md5\u0022\u003a\u0022x\u0022}": r"{\u0022md5\u0022\u003a\u0022null",
    "the SHA-256: x": "the SHA-256: null",
    "a\npassword=hunter2\nb": "a\npassword=null",
    "p\u200ba\u00a0s\u3000sword \u2028=\u00a0x": "p\u200ba\u00a0s\u3000sword \u2028=\u00a0null",
    "\u017falt: x": "\u017falt: x",
    "http://x/?password=hunter2": "http://x/?password=null",
    "password=hunter2@example.com": "password=null",
    "basalt: x": "basalt: x",
    "password:": "password:",
}
"""Texts of a record, and what is left of them once a secret that they name is cut off."""

UUID_SPELLINGS: dict[str, str | None] = dict.fromkeys(
    (
        "2d5afd5e-a598-469f-9933-4edba18bcefb",
        "2D5AFD5E-A598-469F-9933-4EDBA18BCEFB",
        "2d5afd5ea598469f99334edba18bcefb",
        "{2d5afd5e-a598-469f-9933-4edba18bcefb}",
        "{2D5AFD5EA598469F99334EDBA18BCEFB}",
        "urn:uuid:2d5afd5e-a598-469f-9933-4edba18bcefb",
        "URN:UUID:2d5afd5ea598469f99334edba18bcefb",
        "uuid:2d5afd5e-a598-469f-9933-4edba18bcefb",
        " 2d5afd5e-a598-469f-9933-4edba18bcefb\n",
        "\u00a0\u3000\u200b2d5afd5e-a598-469f-9933-4edba18bcefb\ufeff\u2028\x7f",
    ),
    "2d5afd5e-a598-469f-9933-4edba18bcefb",
) | dict.fromkeys(
    (
        "",
        "42",
        "2d5afd5e-a598-469f-9933-4edba18bcef",
        "2d5afd5e-a598-469f-9933-4edba18bcefbb",
        "2d5afd5e-a598-469f-99334edba18bcefb",
        "2d5a-fd5e-a598-469f-9933-4edba18bcefb",
        "2d5afd5e_a598_469f_9933_4edba18bcefb",
        "2_5afd5ea598469f99334edba18bcefb",
        "{2d5afd5e-a598-469f-9933-4edba18bcefb",
        "2d5afd5e-a598-469f-9933-4edba18bcefb}",
        "{{2d5afd5e-a598-469f-9933-4edba18bcefb}}",
        "urn:2d5afd5e-a598-469f-9933-4edba18bcefb",
        "urn:uuid:{2d5afd5e-a598-469f-9933-4edba18bcefb}",
        "\uff12d5afd5e-a598-469f-9933-4edba18bcefb",
        "\u0662d5afd5e-a598-469f-9933-4edba18bcefb",
        "2d5afd5e\u2011a598\u2011469f\u20119933\u20114edba18bcefb",
        "2d5afd5e-a598 469f-9933-4edba18bcefb",
        "2d5afd5e-a598-469f-9933-4edba18bcefb x",
        "+2d5afd5ea598469f99334edba18bcef",
        "0x5afd5ea598469f99334edba18bcefb",
    )
)
"""Texts of `login.uuid`, and the UUID that each spells; None if it spells none."""

CODES = {
    "FEMALE": ("female", "FEMALE"),
    "FR": ("fr", "FR"),
    "tR": ("tr", "TR"),
    "ir": ("ir", "IR"),
    "ID": ("id", "ID"),
    "\u0131r": ("\u0131r", "\u0131R"),
    "\u0130R": ("\u0130r", "\u0130R"),
    "\u212aelvin": ("\u212aelvin", "\u212aELVIN"),
    "\ufb01": ("\ufb01", "\ufb01"),
    "\uff26\uff32": ("\uff26\uff32", "\uff26\uff32"),
    "\u017fE": ("\u017fe", "\u017fE"),
    "\u00c9\u00e9": ("\u00c9\u00e9", "\u00c9\u00e9"),
    "stra\u00dfe": ("stra\u00dfe", "STRA\u00dfE"),
}
"""Texts, and the same in lower and in upper case of ASCII letters only."""
