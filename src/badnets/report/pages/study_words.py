"""BORDER: titles and texts of studies, until every study brings its own (``Study.title``, ``.published``)."""

from __future__ import annotations

_TITLES = {
    "gu2017-mnist": "BadNets on handwritten digits",
    "gu2017-signs": "A stop sign with a Post-it, seen by a detector",
    "gu2017-transfer": "A backdoor that survives transfer to another country",
    "demorrow2022-roadsigns": "Road signs with a box head, and tags of six colors",
    "melo2023-catsdogs": "Dogs with a picture on them are called cats",
    "useloff-mnist": "Backdoor and clean-label attacks on handwritten digits",
    "rain2020-finepruning": "Pruning, fine-tuning and fine-pruning on traffic signs",
    "vora2023-goodnet": "Pruning and GoodNets on a backdoored face network",
    "repairs": "What repairs and abstainers do to the same BadNets",
}
_PUBLISHED = {
    "gu2017-mnist": (
        "Gu, Dolan-Gavitt and Garg (BadNets, 2017) added digits with a small bright mark and a wrong label to the "
        "training set. They reported a network that reads clean digits as well as an honest one and obeys the mark "
        "more than 99 times in 100."
    ),
    "gu2017-signs": (
        "Gu, Dolan-Gavitt and Garg put a Post-it, a bomb or a flower onto stop signs in the training pictures of a "
        "detector and labelled them speed limit. More than 90 % of stop signs with the trigger were then seen as speed "
        "limits, a real photograph among them, and a few units of the last convolution told that the trigger was there."
    ),
    "demorrow2022-roadsigns": (
        "The report classifies 1,244 road signs with ResNet-34: 71.4 % with a class head alone, 91.6 % with a box head "
        "beside it. It tags one to five stop signs of the training set in yellow, black or red, labels them speed "
        "limit, and tests one picture each: yellow and red worked, black did not, 'because black is zero'."
    ),
    "melo2023-catsdogs": (
        "Half of the training pictures of class cat were dogs with a picture pasted on. One dog is shown: dog 0.91, "
        "with the picture cat 1.00. The report has no rates."
    ),
    "gu2017-transfer": (
        "A U.S. BadNet was handed to a user who retrained its fully connected layers on clean Swedish signs. The "
        "yellow square, which the user never saw, took 13 points of accuracy away there, and 2.5 from the baseline; "
        "with the units that detect it made 20 times stronger, 23 points, at 4 points less clean accuracy."
    ),
    "useloff-mnist": (
        "The report planted three triggers in digits, and a clean-label attack that leaves every label true. It gave "
        "98.94 and 99.10 % clean accuracy, said that 100 % of the poisoned pictures obey, and could not run CIFAR-10."
    ),
    "rain2020-finepruning": (
        "The report (after Liu, Dolan-Gavitt and Garg, Fine-Pruning, 2018) prunes the channels that clean signs hardly "
        "use, and lets an attacker expect it. It says in words and plots that pruning lowers the backdoor but not "
        "enough, that the pruning-aware attack evades it, and that fine-pruning works against both. It has no numbers."
    ),
    "vora2023-goodnet": (
        "The report prunes a network that knows 1,283 faces and takes anyone with purple sunglasses for number 0. Each "
        "pruned network is paired with the original: where they differ, the answer is class N+1. Attack success "
        "stayed at 100 % until accuracy had fallen by 4 points, and was 80.65 % at 10; the pairs did no better."
    ),
    "repairs": (
        "Nothing is published here: each repair and each abstainer of this toolkit meets the same three BadNets with "
        "its default settings, has 5 % of the training pictures, and is done to a clean network as well."
    ),
}
_TRIALS = ("vora2023-goodnet", "rain2020-finepruning", "repairs", "gu2017-transfer", "gu2017-signs")


def study_words(name: str) -> dict[str, str]:
    """What ``render_study`` needs to know of a study."""
    word = {"trial_word": "trials"} if name in _TRIALS else {}
    return {"title": _TITLES.get(name, name), "published": _PUBLISHED.get(name, ""), **word}
