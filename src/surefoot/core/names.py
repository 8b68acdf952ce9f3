"""Names: what flows and tasks may be called, templates for the names of runs, and the two words a flow run has without
one.

May import: core.errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from surefoot.core.errors import BadInput, InvalidNameError, TemplateError

__all__ = ["check_name", "fill_template", "two_words"]

BANNED: Final = "/%&><"

_ADJECTIVES: Final = (
    "able agile alert amber ample azure balmy bold brave breezy bright brisk calm candid clear clever cool cosy "
    "crisp dapper daring deft early eager earnest easy fair fancy fast fearless fine firm fleet fond frank free "
    "fresh gentle giddy glad golden good grand great green handy happy hardy hearty honest humble jade jaunty "
    "jolly keen kind lean light lilac lively loyal lucid lucky magic mellow merry mighty mild neat nimble noble "
    "olive open pearly placid plucky polite prime proud quick quiet rapid ready robust rosy royal ruby rustic "
    "sandy serene sharp shiny silent silver sleek smart snug sober solid sound spry stable steady still stout "
    "sturdy sunny super sure swift tall tender thrifty tidy tough true trusty upbeat vivid warm wary wise witty "
    "young zesty"
).split()

_ANIMALS: Final = (
    "adder albatross alpaca ant antelope badger bat bear beaver bee beetle bison boar bobcat buffalo bull camel "
    "canary caribou cat cheetah chinchilla chough cobra condor corgi coyote crab crane cricket crow curlew deer "
    "dingo dolphin donkey dove dragonfly duck eagle egret eland elk emu falcon ferret finch firefly fox frog "
    "gannet gazelle gecko gibbon giraffe gnu goat goose gopher grouse gull hare harrier hawk hedgehog heron hippo "
    "hoopoe horse hound ibex ibis iguana impala jackal jaguar jay kestrel kite kiwi koala kudu lapwing lark "
    "lemming lemur leopard lion lizard llama lobster lynx macaw magpie mallard marlin marmot marten mole mongoose "
    "moose moth mouse mule mustang narwhal newt ocelot octopus okapi orca oriole oryx osprey ostrich otter owl ox "
    "panda panther parrot pelican penguin pigeon pika plover pony puffin puma python quail rabbit raccoon ram "
    "raven robin rook salmon sandpiper seal serval shark sheep shrew skua sloth snipe sparrow squid squirrel stag "
    "starling stoat stork swallow swan swift tapir tern thrush tiger toad toucan trout turtle viper vole vulture "
    "wallaby walrus wasp weasel whale wolf wombat woodcock wren yak zebra"
).split()


class NameTypeError(BadInput, TypeError):
    """A name is not a string."""


def check_name(name: object, kind: str) -> str:
    """`name` if a flow or task may be called so.

    Raises TypeError if it is not a string, InvalidNameError if it is empty or contains one of / % & > <.

    >>> check_name("nightly load", "Flow")
    'nightly load'
    """
    if not isinstance(name, str):
        hint = f" Did you forget the parentheses: @{kind.lower()}()?" if callable(name) else ""
        raise NameTypeError(f"{kind} name is {name!r}, which is not a string.{hint}", do='Pass a text: name="...".')
    bad = [char for char in BANNED if char in name]
    if bad or not name.strip():
        what = f"contains {' '.join(bad)}" if bad else "is empty"
        raise InvalidNameError(f"{kind} name {name!r} {what}.", do=f"Use a name without any of {' '.join(BANNED)}")
    return name


def fill_template(template: str, parameters: Mapping[str, Any], owner: str) -> str:
    """A run's name from a `str.format` template over its parameters. `owner` says whose template it is.

    Raises TemplateError that lists the parameters there are.

    >>> fill_template("load-{day}", {"day": "mon"}, "flow 'load'")
    'load-mon'
    """
    import string  # a door: most runs have no template

    try:
        return string.Formatter().vformat(template, (), parameters)
    except Exception as error:  # whatever a value's own formatting raises
        there = ", ".join(f"{{{name}}}" for name in parameters) or "none: it has no parameters"
        raise TemplateError(
            f"The run name {template!r} of {owner} cannot be filled in: {type(error).__name__}: {error}.",
            do=f"Use the parameters that it has: {there}.",
        ) from error


def two_words(number: int) -> str:
    """Two words for a run without a name of its own, picked by any large number.

    >>> two_words(0)
    'able-adder'
    """
    number, animal = divmod(number, len(_ANIMALS))
    return f"{_ADJECTIVES[number % len(_ADJECTIVES)]}-{_ANIMALS[animal]}"
