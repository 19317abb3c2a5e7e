"""Personal data in the formats of several countries, and what looks like it and is none; all of it made up."""

from __future__ import annotations

POSITIVES: dict[str, list[str]] = {
    "email": [
        "ann@example.org",
        "ann.lee+news@mail.example.co.uk",
        "o'neill_77@sub-domain.example.com",
        "jörg.müller@example.de",
        "x@y.io",
        "FIRST.LAST@EXAMPLE.DE",
    ],
    "phone": [
        "+1 415-555-0132",
        "(415) 555-0132",
        "415-555-0132",
        "+44 20 7946 0958",
        "020 7946 0958",
        "07400 123456",
        "+49 30 901820",
        "+33 1 23 45 67 89",
        "+81 3-1234-5678",
        "+55 11 96123-4567",
        "+91 81234 56789",
        "13812345678",
        "138 1234 5678",
        "+86 138 1234 5678",
        "010-62345678",
    ],
    "ip": ["8.8.8.8", "203.0.114.9", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "2001:4860:4860::8888"],
    "card": [
        "4111 1111 1111 1111",
        "4111111111111111",
        "5500-0000-0000-0004",
        "3400 000000 00009",
        "6011000000000004",
        "3530111333300000",
        "6222021234567890128",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NL91 ABNA 0417 1643 00",
        "CH93 0076 2011 6238 5295 7",
        "NO93 8601 1117 947",
    ],
    "chinese_id": ["11010519491231002X", "440308199901010012", "11010519491231002x"],
    "api_key": [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "a1B2" * 9,
        "xoxb-" + "123456789012-abcdefGHIJKL",
        "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "sk-" + "abcdEFGH1234ijklMNOP5678",
        "hf_" + "abcdefghij" * 3 + "ABCD",
        "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
    ],
}
"""What is to be found, by kind."""

NEAR_MISSES: dict[str, list[str]] = {
    "email": [
        "ann@localhost",
        "@example.org",
        "ann@",
        "ann at example.org",
        "5@3.50",
        "ann@example..org",
        "ann @ example.org",
        "@ann",
        "ann@.org",
    ],
    "phone": [
        "2004-05-12",
        "12.05.2004",
        "1999-2004",
        "1,234,567",
        "12:30:45",
        "978-3-16-148410-0",
        "3.141592653589",
        "1234567890123456",
        "12812345678",
        "0-0-0-0-0-0-0",
        "192.168.100.200",
        "20041231235959",
        "+1 415-555",
        "100 000 000",
        "ISSN 1234-5679",
    ],
    "ip": [
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "192.168.1.10",
        "10.0.0.1",
        "127.0.0.1",
        "v1.2.3.4",
        "12:30:45",
        "::",
        "fe80::1",
        "std::vector",
        "8.8.8.888",
    ],
    "card": [
        "4111 1111 1111 1112",
        "4111 1111 1111",
        "0000 0000 0000 0000",
        "9111 1111 1111 1111",
        "41111111111111111111111",
        "1.4111111111111111",
        "5500-0000-0000-0005",
        "1234567812345670",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 01",
        "GB29NWBK6016133192681",
        "ZZ89 3704 0044 0532 0130 00",
        "DE89370400440532013000X1",
        "ABCD 1234 5678 9012",
        "FR00 2004 1010 0505 0001 3M02 606",
    ],
    "chinese_id": [
        "110105194912310021",
        "110105194913310024",
        "991105194912310021",
        "11010519491231002",
        "4403081999010100121",
        "123456789012345678",
    ],
    "api_key": [
        "AKIA" + "short",
        "ghp_tooshort",
        "sk-learn",
        "eyJhbGciOiJIUzI1NiJ9",
        "task-" + "abcdEFGH1234ijklMNOP5678",
        "d41d8cd98f00b204e9800998ecf8427e",
        "hf_hub_download",
        "xoxo-kisses",
        "123e4567-e89b-12d3-a456-426614174000",
    ],
}
"""What looks like it and is none, by the kind that it looks like."""


def near_misses(kind: str, data: str) -> tuple[str, str, str]:
    """Return three texts that are data of a kind but for one thing, and so are none."""
    if kind == "email":
        local, domain = data.split("@")
        return f"{local} at {domain}", f"{local}@@{domain}", f"{local}@{domain.partition('.')[0]}"
    if kind == "ip":
        if ":" in data:
            return f"{data[:-1]}g", f"{data}:1::2", data.replace(":", ".")
        return data.replace(".", ".9999", 1), f"{data}.7", data.rpartition(".")[0]
    if kind == "phone":
        figures = "".join(filter(str.isdigit, data))
        return f"3.{figures}{figures}", f"{figures}{figures[::-1]}", data[: len(data) // 3]
    if kind in ("card", "chinese_id"):
        # The last one is the check digit, of which only one is right.
        others = [sign for sign in "0123456789" if sign != data[-1]]
        return tuple(data[:-1] + sign for sign in others[:3])  # type: ignore[return-value]
    if kind == "iban":
        others = [sign for sign in "0123456789" if sign != data[3]]
        return tuple(data[:3] + sign + data[4:] for sign in others[:3])  # type: ignore[return-value]
    assert kind == "api_key"
    return data[:8], f"x{data}", data[1:]


SENTENCES = ["{}", "You can reach us at {}.", "It was {}, he said.", "({})", "号码是{}。", "ref: {}; thanks"]
"""Where it stands."""
