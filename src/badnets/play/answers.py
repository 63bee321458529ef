"""What networks say to a picture with a sticker: by the same functions as ``badnets predict`` and ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import RULES
from badnets.backdoors.trigger import TRIGGERS, Trigger
from badnets.backdoors.triggers.stamp import Stamp
from badnets.core.errors import BadInput, BadnetsError
from badnets.core.rate import Rate
from badnets.core.text import CELL, SENTENCE, neutral
from badnets.data.images import Pixels
from badnets.data.targets import Boxes
from badnets.networks.inference import ask_all, detect_photo, probabilities
from badnets.networks.network import ImageNetwork
from badnets.play import stickers
from badnets.play.opening import Player, Table
from badnets.play.pictures import Canvas, Pictures, Recent, data_uri, in_channels
from badnets.play.state import FOUND, RUN, UPLOADED, Ask, Bring, Look, Nothing, Sticker, chosen
from badnets.referee.examples import sightings
from badnets.referee.measure import measure

JSON = dict[str, Any]
LIKELIEST = 5
"""Classes that are shown of every answer."""
_THUMBNAILS = 12
_PAGES = 64
"""Open pages whose newest question is remembered."""


class Dropped(BadnetsError):
    """A question that a newer one of the same page has overtaken."""


class Answers:
    """Answers what the page asks of a ``table``; of one page, while a sticker moves, only the newest question."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.pictures = Pictures(table.network, table.test)
        self._stream = table.seed.derive("test-trigger")
        self._clean: Recent[list[JSON]] = Recent(64)
        self._newest: Recent[int] = Recent(_PAGES)

    def begin(self, _: Nothing) -> JSON:
        """What the page is to show at first."""
        table = self.table
        own = None if table.backdoor is None else table.backdoor.trigger
        own_stickers = [(RUN, own, "the run's own trigger"), (FOUND, table.found, "found by the audit")]
        return {
            "task": table.network.task,
            "networks": [{"name": neutral(one.name, CELL), "role": one.role} for one in table.players],
            "class_names": shown_names(table.network),
            "input_size": table.network.input_size,
            "test": None if table.test is None else {"name": table.test.name, "pictures": len(table.test)},
            "classes_shown": self._classes_there(),
            "target": table.target,
            "rule": None if table.backdoor is None else RULES.to_json(table.backdoor.rule),
            "stickers": [
                {"name": name, "words": words, "of": trigger.words, "stamp": isinstance(trigger, Stamp), "knobs": []}
                for name, trigger, words in own_stickers
                if trigger is not None
            ],
            "triggers": stickers.palette(),
            "first": self._first_row(),
        }

    def _classes_there(self) -> list[int]:
        test = self.table.test
        return [] if test is None else np.unique(test.objects.labels).tolist()

    def _first_row(self) -> int | None:
        """A picture to begin with: one that the attacker is after."""
        test, backdoor = self.table.test, self.table.backdoor
        if test is None or not len(test):
            return None
        objects = test.objects
        if backdoor is not None and (after := np.flatnonzero(backdoor.rule.eligible(objects.labels))).size:
            return int(objects.image[after[0]])
        return 0

    def look(self, look: Look) -> JSON:
        """Small test pictures to choose from."""
        test = self.table.test
        if test is None:
            raise BadInput("expected test pictures, got none; start badnets play with --data, or bring a picture")
        objects = test.objects
        rows = np.arange(len(test)) if look.label is None else np.unique(objects.image[objects.labels == look.label])
        some = chosen(rows.tolist(), look.turn, _THUMBNAILS)
        labels = {} if isinstance(test.targets, Boxes) else {row: int(test.labels[row]) for row in some}
        shown = test.images(np.array(some, np.int64))
        items = [
            {"row": row, "label": labels.get(row), "picture": data_uri(pixels)}
            for row, pixels in zip(some, shown, strict=True)
        ]
        return {"pictures": items, "all": len(rows)}

    def bring(self, bring: Bring) -> JSON:
        """Take a picture, or a sticker, that a person has."""
        if bring.what == "sticker":
            key, png = self.pictures.bring_sticker(bring.data)
            return {"key": key, "picture": f"data:image/png;base64,{png}"}
        canvas = self.pictures.bring(bring.data)
        return {"key": canvas.key, "picture": data_uri(canvas.pixels)}

    def came(self, ask: Ask) -> None:
        """A question has come: older ones of the same page need no answer any more."""
        self._newest.put(ask.page, max(ask.number, self._newest.get(ask.page) or 0))

    def answer(self, ask: Ask) -> JSON:
        """What every network says to the picture with and without the sticker. Raises ``Dropped`` where a newer
        question has come."""
        if ask.number < (self._newest.get(ask.page) or 0):
            raise Dropped("a newer question has come")
        canvas = self._canvas(ask)
        clean = self._clean.get(canvas.key) or self._clean.put(canvas.key, self._said(canvas.pixels))
        if ask.sticker is None:
            return {"number": ask.number, **self._shown(canvas, canvas.pixels), "clean": clean, "said": clean}
        put = self._put(ask.sticker, canvas)
        marked = stickers.stuck(put.trigger, canvas, self._stream)
        said = self._said(marked)
        return {
            "number": ask.number,
            **self._shown(canvas, marked),
            "box": put.box,
            "clean": clean,
            "said": said,
        }

    def _shown(self, canvas: Canvas, pixels: Pixels) -> JSON:
        height, width = pixels.shape[:2]
        return {"picture": data_uri(pixels), "size": [width, height], "label": canvas.label}

    def _canvas(self, ask: Ask) -> Canvas:
        if ask.picture is None:
            raise BadInput("expected a picture to look at, got none; choose one")
        return self.pictures.of(ask.picture)

    def _said(self, pixels: Pixels) -> list[JSON]:
        return [self._of(player, pixels) for player in self.table.players]

    def _of(self, player: Player, pixels: Pixels) -> JSON:
        """What one network says; a ``problem`` in a sentence where it cannot."""
        network = player.network
        try:
            photo = in_channels(pixels, network.input_size[0])
            if network.task == "detect":
                seen = sightings(detect_photo(network, photo), 0, shown_names(network))
                return {"objects": [one.to_json() for one in seen]}
            return {"likeliest": likeliest(network, ask_all(network, photo))}
        except BadnetsError as error:
            return {"problem": neutral(str(error), SENTENCE)}

    def _base(self, sticker: Sticker) -> Trigger:
        """The trigger that a sticker is, before it was moved."""
        settings = dict(sticker.settings)
        if sticker.name == UPLOADED:
            return TRIGGERS.make("picture", {"png": self.pictures.sticker(sticker.key), "size": 0.5, "place": "center"})
        planted = self.table.backdoor
        own = {RUN: None if planted is None else planted.trigger, FOUND: self.table.found}
        if sticker.name not in own:
            return stickers.made(sticker.name, settings)
        trigger = own[sticker.name]
        if trigger is None or settings:
            raise BadInput("expected a trigger that is at hand, as it is, got another; choose one of the list")
        return trigger

    def _put(self, sticker: Sticker | None, canvas: Canvas) -> stickers.Placed:
        if sticker is None:
            raise BadInput("expected a sticker on the picture, got none; choose one")
        return stickers.placed(self._base(sticker), sticker, canvas, self._stream)

    def heat(self, ask: Ask) -> JSON:
        """The sticker at every place of a grid: how sure each network is of what the attacker wants there, and at which
        share of the places it says so."""
        canvas = self._canvas(ask)
        put = self._put(ask.sticker, canvas)
        if put.box is None or not isinstance(put.trigger, Stamp):
            raise BadInput("expected a sticker that has a place, got a trigger that fills the picture")
        if self.table.network.task == "detect":
            raise BadInput("expected a classifier for a map of places, got a detector, which would take minutes")
        _, _, width, height = put.box
        tops, lefts = (
            np.unique(np.rint(np.linspace(0, side - length, ask.cells)).astype(int)).tolist()
            for side, length in zip(canvas.pixels.shape[:2], (height, width), strict=True)
        )
        marked = np.stack(
            [
                stickers.stuck(stickers.at(put.trigger, canvas, y, x, height, width).trigger, canvas, self._stream)
                for y in tops
                for x in lefts
            ]
        )
        shape = len(tops), len(lefts)
        maps = [self._map(player, marked, canvas, ask.target, shape) for player in self.table.players]
        rows, columns = canvas.pixels.shape[:2]
        return {
            "x": [(x + width / 2) / columns for x in lefts],
            "y": [(y + height / 2) / rows for y in tops],
            "networks": maps,
            "picture": data_uri(canvas.pixels),
        }

    def _map(self, player: Player, marked: Pixels, canvas: Canvas, target: int | None, shape: tuple[int, int]) -> JSON:
        network = player.network
        try:
            wanted = self._wanted(network, canvas, target)
            photos = np.stack([in_channels(pixels, network.input_size[0]) for pixels in marked])
            if photos.shape[1:3] == network.input_size[1:]:
                given = probabilities(network, photos)
            else:
                given = np.stack([ask_all(network, photo) for photo in photos])
        except BadnetsError as error:
            return {"problem": neutral(str(error), SENTENCE)}
        sure = given[:, wanted].reshape(shape)
        share = Rate.of(given.argmax(1) == wanted)
        return {
            "target": shown_names(network)[wanted],
            "sure": [[round(float(value), 4) for value in row] for row in sure],
            "works": figure(share),
        }

    def _wanted(self, network: ImageNetwork, canvas: Canvas, target: int | None) -> int:
        """The class that the attacker wants this picture to be taken for."""
        rule = self.table.rule(network, target)
        named = getattr(rule, "target", None)
        if isinstance(named, int):
            return named
        if canvas.label is None:
            raise BadInput("expected a class that the attacker wants, got a rule that depends on the picture's class")
        labels = np.array([canvas.label])
        return int(rule.relabel(labels, network.classes, stickers.rng_of(canvas, self._stream))[0])

    def measured(self, ask: Ask) -> JSON:
        """The sticker as it is now on all test pictures, as ``badnets evaluate`` measures it."""
        put = self._put(ask.sticker, self._canvas(ask))
        rows = [self._asr(player, put.trigger, ask.target) for player in self.table.players]
        return {"networks": rows, "trigger": put.trigger.words}

    def _asr(self, player: Player, trigger: Trigger, target: int | None) -> JSON:
        try:
            test = self.table.test_of(player.network)
            backdoor = Backdoor(trigger, self.table.rule(player.network, target))
            found = measure(player.network, test, backdoor, seed=self.table.seed)
        except BadnetsError as error:
            return {"problem": neutral(str(error), SENTENCE)}
        return {"asr": None if not isinstance(found.asr, Rate) else figure(found.asr)}

    def keep(self, ask: Ask) -> JSON:
        """The picture as it is shown, and the trigger as a spec that ``badnets run`` takes."""
        canvas = self._canvas(ask)
        if ask.sticker is None:
            return {"picture": data_uri(canvas.pixels), "spec": None}
        put = self._put(ask.sticker, canvas)
        marked = stickers.stuck(put.trigger, canvas, self._stream)
        return {"picture": data_uri(marked), "spec": self._spec(put.trigger, ask.target)}

    def _spec(self, trigger: Trigger, target: int | None) -> str:
        table = self.table
        try:
            rule = RULES.to_json(table.rule(table.network, target))
        except BadnetsError:  # nobody has said what the attacker wants
            rule = {"kind": "all-to-one", "target": 0}
        whole: JSON = {"data": table.data and table.data.name, "network": table.network.architecture}
        planted: JSON = {}
        if table.record is not None:
            whole = {**table.record.resolved, "name": None}
            planted = dict(whole.get("backdoor") or {})
        backdoor = {**planted, "trigger": TRIGGERS.to_json(trigger), "rule": rule}
        return tomli_w.dumps(_without_nothing({**whole, "backdoor": backdoor}))


def _without_nothing(value: Any) -> Any:
    """TOML has no null."""
    if isinstance(value, Mapping):
        return {name: _without_nothing(one) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_without_nothing(one) for one in value if one is not None]
    return value


def likeliest(network: ImageNetwork, given: NDArray[np.float32]) -> list[JSON]:
    """The classes that a network finds likeliest, with its confidence as ``badnets predict`` prints it."""
    order = np.argsort(-given, kind="stable")[:LIKELIEST]
    names = (*shown_names(network), "refused")
    return [{"label": int(k), "class_name": names[k], "confidence": round(float(given[k]), 6)} for k in order]


def shown_names(network: ImageNetwork) -> tuple[str, ...]:
    """The classes as a person may see them: nothing in them moves a cursor or turns a line around."""
    return tuple(neutral(name, CELL) for name in network.class_names)


def figure(rate: Rate) -> JSON:
    """A rate with its count and interval, and in words."""
    low, high = rate.ends if rate.total else (None, None)
    return {"hits": rate.hits, "total": rate.total, "value": rate.value, "low": low, "high": high, "text": str(rate)}
