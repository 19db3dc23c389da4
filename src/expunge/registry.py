"""Names for methods, audits and tasks: each class is known by the kebab-case name of the file that it stands in."""

from typing import ClassVar, TypeVar

from expunge.errors import BadSetting

Kind = TypeVar("Kind", bound="type[Registered]")


class Registered:
    """Gives each public subclass its file's name: `expunge/methods/bad_teacher.py` holds the method `bad-teacher`."""

    name: ClassVar[str] = ""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        file = cls.__module__.rpartition(".")[2]
        cls.name = (cls.__name__.lower() if file == "__main__" else file).replace("_", "-")

    @classmethod
    def summary(cls) -> str:
        """What the class is, in the first line of its module's docstring."""
        import sys

        text = sys.modules[cls.__module__].__doc__ or cls.__doc__ or ""
        return text.strip().partition("\n")[0]


def by_name(classes: tuple[Kind, ...]) -> dict[str, Kind]:
    """The classes by their names, in the order given."""
    return {cls.name: cls for cls in classes}


def find(registry: dict[str, Kind], name: str, what: str) -> Kind:
    """The class called `name`.

    Raises:
        BadSetting: naming all that exist, when there is none.
    """
    if name not in registry:
        raise BadSetting(f"unknown {what} {name!r}; there are {', '.join(sorted(registry))}")
    return registry[name]
