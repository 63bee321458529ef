"""What networks say to a picture with a sticker: by the same functions as ``badnets predict`` and ``evaluate``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
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
from badnets.networks.inference import ask_all, detect_photo
from badnets.networks.network import ImageNetwork
from badnets.play import stickers
from badnets.play.opening import Player, Table
from badnets.play.pictures import Canvas, Pictures, Recent, data_uri, in_channels
from badnets.play.places import OF_DETECTORS, USUAL, Grid, Map, figure, read_as, seen_as
from badnets.play.state import FOUND, RUN, UPLOADED, Ask, Bring, Look, Nothing, Sticker, chosen
from badnets.play.workers import Crew
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
        self._crew = Crew(table.players)
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
        clean = self._clean.get(canvas.key) or self._clean.put(canvas.key, self._said(canvas.pixels)())
        if ask.sticker is None:
            return {"number": ask.number, **self._shown(canvas, canvas.pixels), "clean": clean, "said": clean}
        put = self._put(ask.sticker, canvas)
        marked = stickers.stuck(put.trigger, canvas, self._stream)
        said = self._said(marked)  # the picture is packed while they think
        return {
            "number": ask.number,
            **self._shown(canvas, marked),
            "box": put.box,
            "clean": clean,
            "said": said(),
        }

    def _shown(self, canvas: Canvas, pixels: Pixels) -> JSON:
        height, width = pixels.shape[:2]
        return {"picture": data_uri(pixels), "size": [width, height], "label": canvas.label}

    def _canvas(self, ask: Ask) -> Canvas:
        if ask.picture is None:
            raise BadInput("expected a picture to look at, got none; choose one")
        return self.pictures.of(ask.picture)

    def _said(self, pixels: Pixels) -> Callable[[], list[JSON]]:
        """What every network says, begun; to be called for it."""
        return self._crew.begin(lambda player: self._of(player, pixels))

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

    def heat(self, ask: Ask) -> Iterator[JSON]:
        """The sticker at every place of a grid: how sure each network is of what the attacker wants there, and at which
        share of the places it says so. ``done`` of ``all`` places on the way, and the ``answer`` at the end."""
        canvas, detects = self._canvas(ask), self.table.network.task == "detect"
        grid = Grid.of(self._put(ask.sticker, canvas), canvas, ask.cells or (OF_DETECTORS if detects else USUAL))
        shape = len(grid.tops), len(grid.lefts)
        pictures, every = grid.pictures(self._stream), shape[0] * shape[1]
        yield {"done": 0, "all": every}
        maps = [self._map(player, canvas, ask.target, shape) for player in self.table.players]
        for number in range(0, every, step := 1 if detects else shape[1]):
            marked = list(itertools.islice(pictures, step))
            for one in maps:
                one.look(marked)
            yield {"done": number + step, "all": every}
        answer = {**grid.centers, "networks": [one.told() for one in maps], **self._shown(canvas, canvas.pixels)}
        yield {"answer": answer}

    def _map(self, player: Player, canvas: Canvas, target: int | None, shape: tuple[int, int]) -> Map:
        """What one network says at each place, as yet of none."""
        network, names = player.network, shown_names(player.network)
        made = Map(shape)
        with made.problems():
            if network.task == "detect":
                made.wish = seen_as(network, self.table.rule(network, target), canvas, names)
            else:
                wanted = self._wanted(network, canvas, target)
                made.wish = read_as(network, wanted, names[wanted])
        return made

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

    def measured(self, ask: Ask) -> Iterator[JSON]:
        """The sticker as it is now on all test pictures, as ``badnets evaluate`` measures it; ``done`` of ``all``
        networks on the way, and the ``answer`` at the end."""
        put, every = self._put(ask.sticker, self._canvas(ask)), len(self.table.players)
        rows: list[JSON] = []
        for player in self.table.players:
            yield {"done": len(rows), "all": every}
            rows.append(self._asr(player, put.trigger, ask.target))
        yield {"answer": {"networks": rows, "trigger": put.trigger.words}}

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

    def link(self, ask: Ask) -> JSON:
        """What a link says of the picture: its row, or the key by which it is kept for as long as the server runs."""
        canvas = self.pictures.keep(self._canvas(ask))
        return {"row": canvas.row} if ask.picture and ask.picture.row is not None else {"key": canvas.key}

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
    names = (*shown_names(network), "refuses to answer")
    return [{"label": int(k), "class_name": names[k], "confidence": round(float(given[k]), 6)} for k in order]


def shown_names(network: ImageNetwork) -> tuple[str, ...]:
    """The classes as a person may see them: nothing in them moves a cursor or turns a line around."""
    return tuple(neutral(name, CELL) for name in network.class_names)
