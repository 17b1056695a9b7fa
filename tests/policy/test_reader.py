"""The policy file: its meaning, and its errors, which are reported all at once, with their lines and without a key."""

from __future__ import annotations

import grp
import os
import pwd
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import SOURCE
from support.policies import policy_of

from ordersigner.peer import Peer
from ordersigner.policy import accounts, reader
from ordersigner.policy.accounts import Named
from ordersigner.policy.reader import read
from ordersigner.policy.settings import Complaint

BASE, QUOTE = "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282", "0x" + "00" * 20
KEY = "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf"
PRIVATE_KEY = "b98ea45b6515cbd6a5c39108612b2cd5ae184d5eb0d72b21389a1fe6db01fe0d"
MARKETS = f"""
[market LEV/ETH]
base  = {BASE} 9
quote = {QUOTE} 18
[market BTC]
instrument = 2
quote = {BASE} 18
"""
# The settings of a rule without mistakes.
RULE = {"key": KEY, "users": "root", "accounts": BASE, "markets": "LEV/ETH"}


def rule(**settings: str | None) -> str:
    """A policy with one rule. settings: in place of those of RULE, or in addition; None leaves one out."""
    lines = {**RULE, **{name.replace("_", "-"): value for name, value in settings.items()}}
    return (
        "[rule bids]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items() if value is not None) + MARKETS
    )


def complaints(text: str) -> list[str]:
    reading = read(text, "policy")
    assert not (reading.errors and reading.policy.rules)
    return reading.lines(reading.errors)


MANUAL = (SOURCE / "docs/man/ordersigner-policy.rst").read_text()


def test_all_settings_are_read() -> None:
    policy = policy_of(
        f"""
        # Orders to buy.
        ; Another comment.
        [market LEV/ETH]
        base  = {BASE} 9
        quote = {QUOTE} 18

        [rule bids]
        key          = {KEY} {BASE[2:]}
        users        = root 1001
        groups       = {grp.getgrgid(0).gr_name} 50
        accounts     = 0x3b0194e96c57dd9cFb839720080b5626718C0E48
        markets      = LEV/ETH
        sides        = buy
        types        = LMT
        max-quantity = 50000
        min-price    = 0.0001
        max-price    = 0.00025
        max-notional = 5
        clock        = 60
        rate         = 600/minute
        """
    )
    (found,) = policy.rules
    assert (found.name, found.line) == ("bids", 8)
    assert found.keys == (KEY, BASE.lower())
    assert [str(user) for user in found.users] == ["root (0)", "1001"]
    assert [str(group) for group in found.groups] == ["root (0)", "50"]
    assert found.rate is not None
    assert (found.rate.number, found.rate.seconds) == (600, 60)
    assert policy.keys == {KEY, BASE.lower()}


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n;comments", "\r\n \t\n", MARKETS])
def test_a_policy_may_have_no_rules(text: str) -> None:
    assert policy_of(text).rules == ()


@pytest.mark.parametrize(
    "text",
    [
        rule(accounts="any", markets="any"),
        rule(accounts="any", markets="any", sides="buy sell", types="LMT MKT SLM STM"),
        rule(users=None, groups="root"),
        rule(markets="LEV/ETH BTC", clock="60"),
        rule(markets="BTC", max_quantity="0.5"),
        rule(types="LMT SLM", max_price="1", min_price="0"),
        rule().replace("\n", "\r\n"),
        rule().replace(" = ", "="),
        rule() + rule().replace("bids", "asks").replace(MARKETS, ""),
    ],
)
def test_a_policy_without_mistakes_has_no_complaints(text: str) -> None:
    assert len(policy_of(text).rules) >= 1


PERMIT = """
[typed permit]
type = Permit(address owner,Amount amount)Amount(uint256 value)
domain.name = Token
message.owner = 0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282
"""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (rule(max_price="1", types="LMT").replace("max-price", "max_price"), "max-price"),
        (rule(clock="1").replace("clock", "clok"), "clock"),
        (rule(sides="BUY"), "buy"),
        (rule(types="lmt"), "LMT"),
        (rule(markets="lev/eth"), "LEV/ETH"),
        (rule().replace("[market LEV", "[markets LEV"), "market"),
        (PERMIT.replace("message.owner", "message.ownr"), "owner"),
        (PERMIT + "message.amount.Value <= 5", "value"),
        (PERMIT.replace("message.owner", "massage.owner"), "message"),
        (PERMIT + "types = x", "type"),
        (PERMIT + "domain.chainID = 1", "domain.chainId"),
        (PERMIT.replace("uint256", "unit256"), '"uint256"'),
        (PERMIT + "[hyperliquid a]\nactions = order\nnetwork = main-net", "mainnet"),
        (PERMIT + "[message a]\npatern = a", "pattern"),
    ],
)
def test_a_word_that_is_nearly_right_gets_the_right_one(text: str, meant: str) -> None:
    complaints = "\n".join(map(str, read(text, "policy").errors))
    assert re.search(f"[Dd]id you mean {re.escape(meant)}\\?", complaints), complaints


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("users = root", ["policy:1: a setting must be in a section, such as [rule NAME]"]),
        (rule() + "what", ["policy:13: this is neither a section, such as [rule NAME], nor a setting"]),
        ("[rule]", ["policy:1: a section is [market NAME], [typed NAME], "]),
        ("[rule ]", ["policy:1: a section is [market NAME], [typed NAME], "]),
        ("[rule a b]", ["policy:1: a section is [market NAME], [typed NAME], "]),
        ("[rule ä]", ["policy:1: a section is [market NAME], [typed NAME], "]),
        (f"[rule {'a' * 65}]", ["policy:1: a section is [market NAME], [typed NAME], "]),
        (f"[rule {PRIVATE_KEY}]", ["policy:1: a name must not look like a private key"]),
        ("[DEFAULT]", ["policy:1: a section is [market NAME], [typed NAME], "]),
        (rule() + "[market BTC]\n", ["policy:13: a market has", "policy:13: there is another market of this name"]),
        (rule(users=None), ["policy:1: a rule needs users or groups"]),
        (rule(key=None), ["policy:1: a rule needs key"]),
        (rule(accounts=None), ["policy:4: markets needs accounts"]),
        (rule(markets=None), ["policy:1: a rule needs at least one", "policy:4: accounts needs markets"]),
        (rule(key=""), ["policy:2: key: a value is missing"]),
        (rule(key="0x12"), ["policy:2: key: this is not an address of 40 hexadecimal digits"]),
        (rule(key=f"{KEY} {KEY}"), ["policy:2: key, word 2: it is there twice"]),
        (rule(key=f"{KEY} {KEY[2:].upper()}"), ["policy:2: key, word 2: it is there twice"]),
        (rule(key=PRIVATE_KEY), ["policy:2: key: this may be a private key, which must not be here"]),
        (rule(accounts=f"any {BASE}"), ["policy:4: accounts, word 1: this is not an address"]),
        (rule(markets="any BTC"), ["policy:5: markets, word 1: there is no section [market any]"]),
        (rule(markets="LEV"), ["policy:5: markets: there is no section [market LEV]"]),
        (rule(markets=PRIVATE_KEY), ["policy:5: markets: there is no section [market (a long word)]"]),
        (rule(sides="BUY"), ["policy:6: sides: valid words are buy, sell"]),
        (rule(types="LIMIT"), ["policy:6: types: valid words are LMT, MKT, SLM, STM"]),
        (rule(users="4294967295"), ["policy:3: users: this is not the number of a user"]),
        (rule(clock="0"), ["policy:6: clock: the time must be a whole number from 1"]),
        (rule(clock="1.5"), ["policy:6: clock: the time must be a whole number"]),
        (rule() + "[typed a]\ntype = A(uint8 a)\ndomain.name = a\na < 5", ["policy:16: this is neither a section"]),
        (rule() + "[rule a]\nclock within 60", [
            'policy:13: a rule needs', "policy:13: a rule needs", "policy:13: a rule needs",
            'policy:14: a [rule] section has no setting clock within; clock takes "="',
        ]),
        (rule(key=f"{KEY}, {BASE}"), ["policy:2: key, word 1: blanks separate the values of a list, not commas"]),
        (rule(clock="1 2"), ["policy:6: clock: the time must be a whole number"]),
        (rule(rate="5"), ["policy:6: rate: a rate is N/second, N/minute or N/hour"]),
        (rule(rate="0/hour"), ["policy:6: rate: a rate is N/second"]),
        (rule(rate="5/day"), ["policy:6: rate: a rate is N/second"]),
        (rule(colour="red"), ["policy:6: a [rule] section has no setting colour: key, users"]),
        (rule(**{PRIVATE_KEY: "x"}), ["policy:6: a [rule] section has no setting (a long word): key, users"]),
        (rule() + "instrument = 2\n", ["policy:13: instrument is set twice in this section"]),
        *((rule(max_quantity=amount), ["policy:6: max-quantity: an amount is decimal digits"]) for amount in (
            "-1", "+1", "1e3", "1.", ".5", "1_000", "0x10", "nan", "1.2.3", "\u0661", "1" * 61, "0." + "1" * 19,
        )),
        (rule(max_quantity="1", markets="any"), ["policy:6: max-quantity needs exactly one market"]),
        (rule(max_quantity="1", markets="LEV/ETH BTC"), ["policy:6: max-quantity needs exactly one market"]),
        (rule(max_quantity="1").replace(" 9\n", " 19\n"), ["policy:9: base: the token's decimals must be a whole"]),
        (rule(max_price="1"), ["policy:6: max-price needs types without MKT and STM"]),
        (rule(min_price="1", types="LMT MKT"), ["policy:6: min-price needs types without MKT and STM"]),
        (rule(max_notional="1", types="LMT STM"), ["policy:6: max-notional needs types without MKT and STM"]),
        (rule(max_total_notional="5/day"), ["policy:6: max-total-notional needs types without MKT and STM"]),
        (rule(max_total_notional="5", types="LMT"), ["policy:6: max-total-notional: a total is AMOUNT/hour or"]),
        (rule(max_total_notional="5/week", types="LMT"), ["policy:6: max-total-notional: a total is AMOUNT/hour or"]),
        (rule(max_total_notional="5 /day", types="LMT"), ["policy:6: max-total-notional: a total is AMOUNT/hour or"]),
        (
            rule(max_total_notional=f"{'9' * 60}/day", types="LMT"),
            ["policy:6: max-total-notional: with 18 decimals this total has more than 256 bits"],
        ),
        (rule(max_leverage="5", types="LMT"), ["policy:6: max-leverage needs a futures market: a spot order has no"]),
        (rule(max_leverage="5", markets="BTC"), ["policy:6: max-leverage needs types without MKT and STM"]),
        (rule(min_leverage="5", types="LMT", markets="any"), ["policy:6: min-leverage needs exactly one market"]),
        (rule(max_leverage="0.0", types="LMT", markets="BTC"), ["policy:6: max-leverage: the highest leverage must"]),
        (f"[market a]\nquote = {BASE} 1\ninstrument = 1 2 3", ["policy:3: instrument: expected NUMBER [DIGITS]"]),
        (f"[market a]\nquote = {BASE} 1\ninstrument = 1 19", ["policy:3: instrument: the digits that margins are"]),
        ("[market a]\nquote = 0x12 18", ["policy:1: a market has quote, and", "policy:2: quote: this is not an"]),
        (f"[market a]\nbase = {BASE} 9", ["policy:1: a market has quote, and either base (spot) or instrument"]),
        (f"[market a]\nquote = {BASE} 19\nbase = {BASE} 9", ["policy:2: quote: the token's decimals must be a whole"]),
        (f"[market a]\nquote = {BASE} 1\nbase = {BASE}", ["policy:3: base: expected ADDRESS DECIMALS, such as 0x"]),
        (f"[market a]\nquote = {BASE} 1\ninstrument = 0", ["policy:3: instrument: the instrument must be a whole"]),
        (f"[market a]\nquote = {BASE} 1\ninstrument = 1\nbase = {BASE} 1", ["policy:1: a market has quote, and"]),
    ],
)  # fmt: skip
def test_a_mistake_is_said_with_its_line(text: str, expected: list[str]) -> None:
    said = complaints(text)
    assert len(said) == len(expected)
    for line, beginning in zip(said, expected):
        assert line.startswith(beginning), line


@pytest.mark.parametrize(
    "character", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0", "\x1b[A", "\u202e", "\u200b"]
)
@pytest.mark.parametrize("place", ["# At most{}max-quantity = 1", "groups = root{}max-quantity = 1"])
def test_a_character_that_hides_where_a_line_ends_is_a_mistake_in_comments_too(place: str, character: str) -> None:
    text = "[rule bids]\n" + place.format(character) + rule().replace("[rule bids]", "")
    assert complaints(text) == [
        "policy:2: this line has a character that is not shown, or that changes the direction of the text"
    ]


@pytest.mark.parametrize("text", [rule(markets="any").replace("LEV/ETH", "any"), "[typed any]\ntype = Any()\n"])
def test_a_section_that_a_rule_could_not_name_is_a_mistake(text: str) -> None:
    # "markets = any" would allow every market, and not the one of this name.
    assert "so none can have this name" in complaints(text)[0]


def test_lines_may_end_as_in_windows() -> None:
    assert len(policy_of(rule().replace("\n", "\r\n")).rules) == 1


def test_all_mistakes_are_said_at_once_in_the_order_of_their_lines() -> None:
    said = complaints(rule(key="x", sides="up", rate="5", accounts=None) + "nonsense\n[what]\n")
    assert [int(line.split(":")[1]) for line in said] == [2, 4, 5, 6, 14, 15]


TYPED = f"""
[typed permit]
type = Permit(address owner,uint256 value,uint256 deadline)
domain.name = A Token
domain.verifyingContract = {BASE}
message.owner = {KEY}
message.value >= 1
message.value <= 10
message.deadline within 60
[message login]
pattern = [0-9]{{13}}
[hyperliquid perps]
actions = order cancel
max-size = 2.5
"""
TYPED_RULE = f"[rule bot]\nkey = {KEY}\nusers = root\ntyped = permit\nmessages = login\nhyperliquid = perps\n"


def test_a_rule_may_be_about_typed_data_messages_and_hyperliquid_alone() -> None:
    (found,) = policy_of(TYPED_RULE + TYPED).rules
    assert found.judges.keys() == {"typed_data", "message", "hyperliquid"}
    (found,) = policy_of(rule(typed="any") + TYPED).rules
    assert found.judges.keys() == {"spot", "futures", "typed_data"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("typed = permit", "typed = permits", ["policy:4: typed: there is no section [typed permits]"]),
        ("typed = permit", "typed = login", ["policy:4: typed: there is no section [typed login]"]),
        ("messages = login", "messages = any", ["policy:5: messages: there is no section [message any]"]),
        ("message.owner", "message.ownr", ["policy:12: message.ownr: "]),
        (f"message.owner = {KEY}", f"message.owner = {PRIVATE_KEY}", ["policy:12: message.owner: "]),
        ("value >= 1", "value >= x", ["policy:13: message.value >=: "]),
        ("message.value >=", "message.value <=", ["policy:14: message.value <= is set twice in this section"]),
        ("within 60", "within", ["policy:15: message.deadline within: "]),
        (f"domain.verifyingContract = {BASE}\n", "domain.chainId = x\n", ["policy:11: domain.chainId: "]),
        ("type = Permit", "type = Permit(", ["policy:9: type: "]),
        ("type = Permit", "types = Permit", ["policy:8: a section of typed data needs type"]),
        ("pattern = [0-9]{13}", "pattern = (", ["policy:17: pattern: "]),
        ("pattern = [0-9]{13}", "", ["policy:16: pattern: a message section needs a pattern"]),
        (
            "pattern = [0-9]{13}",
            "words = x",
            ["policy:16: pattern: ", "policy:17: words: a message section has pattern, hashes, and conditions on text"],
        ),
        ("max-size = 2.5", "max-size = -1", ["policy:20: max-size: "]),
        ("actions = order cancel\n", "", ["policy:18: actions: ", "policy:19: max-size: none of the actions"]),
        ("max-size = 2.5", "assets = 1 2 01", ["policy:20: assets, word 3: it is there twice"]),
        ("max-size = 2.5", "colour = red", ["policy:20: a [hyperliquid] section has no setting colour: "]),
    ],
)  # fmt: skip
def test_a_mistake_in_what_is_signed_for_other_venues_is_said_with_its_line(
    old: str, new: str, expected: list[str]
) -> None:
    text = TYPED_RULE + TYPED
    assert old in text
    said = complaints(text.replace(old, new))
    assert len(said) == len(expected), said
    for line, beginning in zip(said, expected):
        assert line.startswith(beginning), line
        assert PRIVATE_KEY not in line


@pytest.mark.parametrize("setting", ["key", "accounts"])
@pytest.mark.parametrize("secret", [PRIVATE_KEY, "0x" + PRIVATE_KEY, PRIVATE_KEY[:-1], PRIVATE_KEY + "00"])
def test_a_key_in_the_place_of_an_address_is_never_repeated(setting: str, secret: str) -> None:
    assert secret[2:40] not in "\n".join(complaints(rule(**{setting: secret})))


@pytest.mark.parametrize(
    "place",
    [
        *("{}", "{} = 1", "[{}]", "[rule {}]", "[rule a]\nkey = {0}\nusers = {0}\nmarkets = {0}"),
        *("[typed a]\ntype = {}(uint x)", "[typed a]\ntype = A({0} x){0}({0} x)"),
    ],
)
def test_a_key_anywhere_is_never_repeated(place: str) -> None:
    reading = read(place.format(PRIVATE_KEY), "policy")
    assert PRIVATE_KEY[2:40] not in repr((reading.errors, reading.warnings))


def test_a_user_or_group_that_does_not_exist_is_a_warning_and_the_others_work() -> None:
    reading = read(rule(users="root no-such-user", groups="no-such-group"), "policy")
    assert list(reading.errors) == []
    assert list(reading.warnings) == [
        Complaint(3, "there is no user no-such-user"),
        Complaint(6, "there is no group no-such-group"),
    ]
    assert reading.policy.rules[0].users == (Named("root", 0), Named("no-such-user", None))
    assert reading.policy.grants(Peer(1, 0, 0))


def test_names_are_those_of_the_system() -> None:
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    (found,) = policy_of(rule(users=user.pw_name, groups=group.gr_name)).rules
    assert (found.users[0].number, found.groups[0].number) == (user.pw_uid, group.gr_gid)


def test_rules_may_name_so_many_keys_as_an_answer_can_list() -> None:
    def keys(first: int, last: int) -> str:
        return " ".join(f"0x{number:040x}" for number in range(first, last))

    assert len(policy_of(rule(key=keys(0, 190))).keys) == 190
    assert complaints(rule(key=keys(0, 191)))[0].startswith("policy:1: the rules name more than 190 keys")


def test_a_file_may_be_as_editors_on_windows_write_it(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    path.write_bytes(b"\xef\xbb\xbf" + rule().replace("\n", "\r\n").encode())
    reading = reader.read_file(str(path))
    assert (list(reading.errors), list(reading.warnings)) == ([], [])
    assert reading.policy.keys == policy_of(rule()).keys != set()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    missing = reader.read_file(str(path))
    assert missing.lines(missing.errors) == [f"{path}: it cannot be read: No such file or directory"]
    path.write_bytes(b"# a\n# b\xff\n")
    garbled = reader.read_file(str(path))
    assert garbled.lines(garbled.errors) == [f"{path}:2: this line is not UTF-8"]
    for codec in ("utf-16", "utf-16-le", "utf-16-be"):
        path.write_bytes("# of Windows\n".encode(codec))
        windows = reader.read_file(str(path))
        assert windows.lines(windows.errors) == [f"{path}: it is UTF-16 text: save it as UTF-8"]
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    huge = reader.read_file(str(path))
    assert huge.lines(huge.errors) == [f"{path}: it has more than 1,048,576 bytes"]
    path.write_text(rule())
    assert len(reader.read_file(str(path)).policy.rules) == 1


def test_no_file_at_the_default_path_is_a_policy_without_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "DEFAULT_PATH", str(tmp_path / "policy"))
    found = reader.read_file(str(tmp_path / "policy"))
    assert (found.policy.rules, list(found.errors), list(found.warnings)) == ((), [], [])


@given(st.text(max_size=200) | st.lists(st.sampled_from(rule(rate="5/second").split("\n"))).map("\n".join))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    reading = read(text, "policy")
    assert not (reading.errors and reading.policy.rules)
    lines = text.count("\n") + 1
    assert all(1 <= complaint.line <= lines for complaint in [*reading.errors, *reading.warnings])


def test_if_the_system_cannot_say_who_users_are_no_policy_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy"
    path.write_text(rule())
    monkeypatch.setattr(accounts, "FILES", ("/etc/passwd", str(tmp_path)))
    reading = reader.read_file(str(path))
    assert reading.lines(reading.errors) == [
        f"{path}: {tmp_path} cannot be read, so no user has a name: Is a directory"
    ]
    assert reading.policy.rules == ()


TOTALS = """[typed pay]
type = Pay(uint256 value,string note)
domain.chainId = 1
total message.value(6) <= 5/day
message.note matches total .* <= 5
total\tsum(message.values.*) <= 5/day
[market FUT]
instrument = 1
quote = 0x0000000000000000000000000000000000000000 18
[rule one]
key = 0x2b5ad5c4795c026514f8317c7a215e218dccd6cf
users = root
typed = pay
rate = 1/hour
"""


def test_a_total_needs_a_place_for_state() -> None:
    text = TOTALS.replace("Pay(uint256 value,", "Pay(uint256 value,uint8[] values,")
    assert list(read(text, "policy").errors) == []
    for keeps_state, lines in ((True, []), (False, [4, 6])):
        errors = read(text, "policy", keeps_state=keeps_state).errors
        assert [error.line for error in errors] == lines
        assert all(error.reason.endswith("start the daemon with --state DIR") for error in errors)


def test_a_file_with_totals_is_read_as_one_for_a_daemon_that_keeps_state(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    path.write_text(TOTALS.replace("total\tsum(message.values.*) <= 5/day\n", ""))
    assert list(reader.read_file(str(path)).errors) == []
    assert [error.line for error in reader.read_file(str(path), keeps_state=False).errors] == [4]


def test_a_total_that_is_wrong_is_said_once_more_where_there_is_no_state() -> None:
    assert [error.line for error in read(TOTALS, "policy").errors] == [6]
    assert [error.line for error in read(TOTALS, "policy", keeps_state=False).errors] == [4, 6, 6]


def test_a_policy_has_room_for_256_totals_and_rates() -> None:
    totals = "".join(f"total bits(message.value, {at}, 1)(1) <= 1/hour\n" for at in range(126))
    text = TOTALS.replace("total\tsum(message.values.*) <= 5/day\n", totals)
    one = policy_of(text).rules[0]
    assert len(one.totals) == 127
    rule = text[text.index("[rule one]") :].replace("[rule one]", "[rule two]")  # its totals are its own
    assert list(read(text + rule, "policy").errors) == []  # 2 * (127 + 1)
    beyond = text + rule + rule.replace("[rule two]", "[rule three]").replace("typed = pay", "typed = any")
    (error,) = read(beyond, "policy").errors
    assert error.line == beyond[: beyond.index("[rule three]")].count("\n") + 1
    assert "256 totals and rates" in error.reason


# The lines of a section.
@pytest.mark.parametrize(
    ("line", "path", "operator", "value"),
    [
        ("message.a = b <= c", "message.a", "=", "b <= c"),
        ("message.a<=5", "message.a", "<=", "5"),
        ("message.a  <=  5  6", "message.a", "<=", "5  6"),
        ("message.a within 5", "message.a", "within", "5"),
        ("message.a(3)\tabout\t5", "message.a(3)", "about", "5"),
        ("message.a matches x=[0-9]", "message.a", "matches", "x=[0-9]"),
        ("message.until until 5", "message.until", "until", "5"),
        ("message.a within", "message.a", "within", ""),
        ("message.aboutness <= 5", "message.aboutness", "<=", "5"),
        ("message.destination Chain = BSC", "message.destination Chain", "=", "BSC"),
        ("bits(message.a, 0, 1) = 1", "bits(message.a, 0, 1)", "=", "1"),
        ("total message.a <= 5/day", "total message.a", "<=", "5/day"),
        ("message.a / message.b >= 5", "message.a / message.b", ">=", "5"),
    ],
)
def test_a_condition_ends_its_term_at_the_first_operator(line: str, path: str, operator: str, value: str) -> None:
    (section,), errors = reader.split(f"[typed t]\ntype = A(bool b)\n{line}")
    assert not errors
    assert list(section.settings) == ["type"]
    (condition,) = section.conditions
    assert (condition.line, condition.path, condition.operator, condition.value) == (3, path, operator, value)


def test_a_line_of_many_blanks_or_operators_is_read_at_once() -> None:
    long = 900_000
    for line in ("a" + " " * long + "b", "a" + "= " * (long // 2), "message.a" + " until" * (long // 6), "a" * long):
        assert read(f"[typed t]\ntype = A(bool a)\ndomain.chainId = 1\n{line}", "policy").errors
