"""What stands in the slots of templates: the forms in which people write names, places, dates and what is no name."""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Callable, Sequence

from anyascii import anyascii

from training.pools import LANGUAGES, OF_NAMES, WORDS, first_and_last, large_small_countries, made_up, pool

__all__ = ["LANGUAGES", "Filler"]


class Filler:
    """Fills slots for one language. Each call draws anew, so a name is seldom seen twice."""

    def __init__(self, language: str, rng: random.Random) -> None:
        self._language, self._rng = language, rng
        own = {name: values[language] if isinstance(values, dict) else values for name, values in WORDS.items()}
        self._home, self._world, self._titles, self._nations = own["home"], own["world"], own["titles"], own["nations"]
        self._organisations, self._months, self._days, self._places = (
            own["organisations"],
            own["months"],
            own["days"],
            own["places"],
        )
        self._nicknames, self._things, self._products, self._nouns = (
            own["nicknames"],
            own["things"],
            own["products"],
            own["nouns"],
        )
        self._particles, self._dates, self._times, self._periods = (
            own["particles"],
            own["dates"],
            own["times"],
            own["periods"],
        )
        self._slots: dict[str, Callable[[], str]] = {
            name.removeprefix("slot_"): getattr(self, name) for name in dir(self) if name.startswith("slot_")
        }

    def fill(self, slot: str) -> str:
        """A value for a slot. Raises KeyError for a slot that does not exist."""
        return self._slots[slot]()

    def _one(self, values: Sequence[str]) -> str:
        return values[int(self._rng.random() * len(values))]

    def _locale(self) -> str:
        abroad = 0.4 if self._language == "en" else 0.2
        return self._one(self._world if self._rng.random() < abroad else self._home)

    def _from(self, what: str, fallback: Callable[[], str]) -> str:
        locale = self._locale()
        if locale in WORDS["unroman"] and what not in OF_NAMES:
            locale = self._one(self._home)
        values = pool(locale, what)
        return self._one(values) if values else fallback()

    def slot_first(self) -> str:
        drawn = self._rng.random()
        if drawn < 0.25 and self._language == "en":
            return self._one(first_and_last()[0])
        if drawn < 0.30:
            return made_up(self._rng)
        name = self._from("first_name", lambda: self._one(first_and_last()[0]))
        return name if drawn < 0.95 else f"{name}-{self._from('first_name', lambda: self._one(first_and_last()[0]))}"

    def slot_last(self) -> str:
        drawn = self._rng.random()
        if drawn < 0.25 and self._language == "en":
            return self._one(first_and_last()[1])
        if drawn < 0.33:
            return made_up(self._rng)
        name = self._from("last_name", lambda: self._one(first_and_last()[1]))
        if drawn < 0.38:
            return f"{name}-{self._from('last_name', lambda: self._one(first_and_last()[1]))}"
        if drawn < 0.43:
            particle = self._one(self._particles)
            return f"{particle}{'' if particle[-1] in '-’ ' + chr(39) or particle in ('Mc', 'Mac') else ' '}{name}"
        return name

    def slot_initial(self) -> str:
        return self._one(string.ascii_uppercase) + "."

    def slot_person(self) -> str:
        first, last, drawn = self.slot_first(), self.slot_last(), self._rng.random()
        if drawn < 0.52:
            return f"{first} {last}"
        if drawn < 0.60:
            return f"{first} {self.slot_first()} {last}"
        if drawn < 0.67:
            return f"{first} {self.slot_initial()} {last}"
        if drawn < 0.73:
            return f"{self.slot_initial()} {last}"
        if drawn < 0.76:
            return f"{self.slot_initial()}{self._one(('', ' '))}{self.slot_initial()} {last}"
        if drawn < 0.81:
            return f"{last}, {first}"
        if drawn < 0.83:
            return f"{last}, {self.slot_initial()}"
        if drawn < 0.86:
            return f"{first} {last} {self.slot_last()}"
        if drawn < 0.88:
            return f"{first} {last} {self._one(('Jr.', 'Jr', 'Sr.', 'III', 'II'))}"
        if drawn < 0.90:
            return f"{last.upper()} {first}"
        if drawn < 0.92:
            return f"{last} {first}"
        if drawn < 0.95:
            return first
        return self._from("name", lambda: f"{first} {last}") if drawn < 0.97 else last

    def slot_title(self) -> str:
        return self._one(self._titles)

    def slot_city(self) -> str:
        drawn = self._rng.random()
        if drawn < 0.45:
            return self._one(large_small_countries()[0])
        if drawn < 0.75:
            return self._one(large_small_countries()[1])
        return self._from("city", lambda: self._one(large_small_countries()[1]))

    def slot_country(self) -> str:
        if self._language != "en" and self._rng.random() < 0.7:
            values = pool(self._one(self._home), "country")
            return self._one(values) if values else self._one(large_small_countries()[2])
        if self._rng.random() < 0.12:
            return self._one(
                (
                    "US",
                    "U.S.",
                    "USA",
                    "UK",
                    "U.K.",
                    "UAE",
                    "England",
                    "Scotland",
                    "Britain",
                    "Russia",
                    "Korea",
                    "Holland",
                )
            )
        return self._one(large_small_countries()[2])

    def slot_region(self) -> str:
        what = self._one(("state", "state_abbr", "administrative_unit", "county", "province", "region", "state"))
        values = pool(self._one(self._home), what)
        return self._one(values) if values else self._one(pool("en_US", "state"))

    def slot_place(self) -> str:
        drawn = self._rng.random()
        if drawn < 0.5:
            return self._one(self._places)
        kind = self._one(
            (
                "Park",
                "Bridge",
                "Station",
                "Airport",
                "Stadium",
                "Beach",
                "Hill",
                "Square",
                "Valley",
                "Harbour",
                "Island",
            )
        )
        return f"{self._one((self.slot_last(), self.slot_city()))} {kind}" if drawn < 0.75 else self.slot_city()

    def slot_postcode(self) -> str:
        return self._from("postcode", lambda: str(self._rng.randint(10000, 99999)))

    def slot_street(self) -> str:
        rng = self._rng
        if rng.random() < 0.25 and self._language == "en":
            kind = self._one(
                (
                    "Street",
                    "St",
                    "Road",
                    "Rd",
                    "Avenue",
                    "Ave",
                    "Ave.",
                    "Lane",
                    "Drive",
                    "Close",
                    "Way",
                    "Court",
                    "Blvd",
                    "Place",
                    "Terrace",
                )
            )
            number = f"{rng.randint(1, 2999)}{self._one(('', '', '', 'A', 'b'))}"
            street = f"{number} {self._one((self.slot_last(), self.slot_city()))} {kind}"
            return self._one(
                (
                    street,
                    street,
                    f"Flat {rng.randint(1, 60)}, {street}",
                    f"{street}, Apt {rng.randint(1, 99)}",
                    f"{street} Suite {rng.randint(1, 900)}",
                )
            )
        if rng.random() < 0.1:
            return f"P.O. Box {rng.randint(10, 99999)}"
        return self._from("street_address", lambda: f"{rng.randint(1, 99)} {self.slot_last()} Street")

    def _address(self) -> str:
        if self._rng.random() < 0.3:
            town = (
                f"{self.slot_postcode()} {self.slot_city()}"
                if self._rng.random() < 0.5
                else f"{self.slot_city()}, {self.slot_region()} {self.slot_postcode()}"
            )
            return f"{self.slot_street()}\n{town}" + (f"\n{self.slot_country()}" if self._rng.random() < 0.3 else "")
        return self._from("address", lambda: f"{self.slot_street()}\n{self.slot_postcode()} {self.slot_city()}")

    def slot_address(self) -> str:
        return self._address().replace("\n", self._one((", ", ", ", ", ", " ", " - ")))

    def slot_address_lines(self) -> str:
        return self._address()

    def slot_org(self) -> str:
        rng = self._rng
        if rng.random() < 0.2:
            return self._from("company", lambda: self.slot_last() + " Group")
        word = (
            made_up(rng)
            if rng.random() < 0.6
            else made_up(rng) + self._one(("tech", "soft", "net", "corp", "ly", "ify", "works", "Soft"))
        )
        abbreviation = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 5)))
        return self._one(self._organisations).format(
            last=self.slot_last(),
            first=self.slot_first(),
            city=self.slot_city(),
            noun=self._one(self._nouns),
            word=word,
            abbr=abbreviation,
        )

    def slot_nrp(self) -> str:
        return self._one(self._nations)

    def slot_date(self) -> str:
        drawn = self._rng.random()
        if drawn < 0.12:
            return self._one(self._days)
        return self._moment(self._one(WORDS["dates"]["any"] if drawn < 0.45 else self._dates))

    def slot_time(self) -> str:
        return self._moment(self._one(WORDS["times"]["any"] if self._rng.random() < 0.3 else self._times))

    def slot_period(self) -> str:
        return self._moment(self._one(self._periods))

    def _moment(self, form: str) -> str:
        """A form of a date, a time or a period with its figures."""
        rng, day, month, year = (
            self._rng,
            self._rng.randint(1, 28),
            self._rng.randint(1, 12),
            self._rng.randint(1935, 2031),
        )
        name, hour = self._months[month - 1], rng.randint(0, 23)
        ordinal = f"{day}{'th' if 10 <= day % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
        minute, half = (
            rng.choice((0, 5, 10, 15, 20, 30, 40, 45, 59)),
            self._one(("am", "pm", "a.m.", "p.m.", "AM", "PM")),
        )
        return form.format(
            day=day,
            month=month,
            year=year,
            yy=year % 100,
            name=name,
            mon=name[:3],
            ordinal=ordinal,
            weekday=self._one(self._days),
            hour=hour,
            hour12=hour % 12 + 1,
            minute=minute,
            second=rng.randint(0, 59),
            half=half,
            count=rng.randint(2, 30),
        )

    def slot_username(self) -> str:
        rng = self._rng
        first, last = (
            anyascii(self.slot_first()).lower().replace(" ", ""),
            anyascii(self.slot_last()).lower().replace(" ", "").replace("'", ""),
        )
        number = self._one(("", str(rng.randint(1, 99)), str(rng.randint(1960, 2010)), str(rng.randint(100, 9999))))
        plain = self._one(
            (
                f"{first[:1]}{last}",
                f"{first}.{last}",
                f"{first}_{last}",
                f"{first}{number}",
                f"{last}{number}",
                f"{self._one(self._nicknames)}_{self._one(self._things)}{number}",
                f"{self._one(self._nicknames)}{self._one(self._things)}{number}",
                f"{first}{self._one(self._things)}",
                f"{self._one(self._nicknames).title()}{self._one(self._things).title()}{number}",
                f"xX_{first}_Xx",
            )
        )
        return f"@{plain}" if rng.random() < 0.35 else plain

    def slot_email(self) -> str:
        host = f"{made_up(self._rng).lower()}.{self._one(('com', 'org', 'net', 'de', 'fr', 'io', 'co.uk', 'example'))}"
        return f"{self.slot_username().lstrip('@')}@{host}"

    def slot_phone(self) -> str:
        return self._from(
            "phone_number",
            lambda: f"+{self._rng.randint(1, 99)} {self._rng.randint(100, 999)} {self._rng.randint(1000000, 9999999)}",
        )

    def slot_iban(self) -> str:
        return self._from("iban", lambda: "GB33BUKB20201555555555")

    def slot_card(self) -> str:
        digits = "".join(self._rng.choices(string.digits, k=16))
        return self._one(
            (
                digits,
                " ".join(digits[at : at + 4] for at in range(0, 16, 4)),
                "-".join(digits[at : at + 4] for at in range(0, 16, 4)),
            )
        )

    def slot_ip(self) -> str:
        return ".".join(str(self._rng.randint(1, 254)) for _ in range(4))

    def slot_url(self) -> str:
        word = made_up(self._rng).lower()
        return self._one(
            (
                f"https://www.{word}.com/{self._one(WORDS['things'])}",
                f"http://t.co/{''.join(self._rng.choices(string.ascii_letters, k=8))}",
                f"www.{word}.org",
                f"{word}.io",
            )
        )

    def slot_id(self) -> str:
        rng = self._rng
        digits = "".join(rng.choices(string.digits, k=rng.randint(4, 10)))
        letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 3)))
        return self._one(
            (
                digits,
                f"{letters}-{digits}",
                f"{letters}{digits}",
                f"#{digits}",
                f"{digits[:3]}-{digits[3:]}",
                f"{letters}/{digits}/{rng.randint(10, 99)}",
            )
        )

    def slot_amount(self) -> str:
        value = self._rng.choice(
            (self._rng.uniform(1, 99), self._rng.uniform(100, 9999), self._rng.randint(1, 900) * 1000)
        )
        return self._one(
            (
                f"${value:,.2f}",
                f"{value:.2f} EUR",
                f"€{value:,.0f}",
                f"£{value:,.2f}",
                f"{value:,.0f} dollars",
                f"USD {value:.0f}",
                f"{value:.2f}",
            )
        )

    def slot_number(self) -> str:
        return self._one(
            (
                str(self._rng.randint(0, 12)),
                str(self._rng.randint(2, 400)),
                f"{self._rng.uniform(0, 100):.1f}",
                f"{self._rng.randint(1000, 99999):,}",
            )
        )

    def slot_product(self) -> str:
        return self._one(self._products)

    def slot_month_word(self) -> str:
        return self._one(self._months)

    def slot_uuid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
