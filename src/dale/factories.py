"""Functions that a user names as ``module:function`` or ``path/to/file.py:function``.

Resolving such a name imports the user's code, and calling it runs that code.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dale.errors import DaleError, InputError, nearest


def resolve(target: str, error: type[InputError] = InputError) -> Callable[..., Any]:
    """The function that `target` names.

    A module is found as Python finds it, the current folder included. A file is
    read anew at each call, with its own folder searched for what it imports.

    Args:
        target: ``module:function`` or ``path/to/file.py:function``.
        error: Class of what is raised.

    Returns:
        The function.

    Raises:
        InputError: (or `error`) The form is wrong, the module cannot be imported, or
            it has no such function.

    Example:
        >>> resolve("math:sqrt")(9.0)
        3.0
        >>> resolve("math:squrt")
        Traceback (most recent call last):
        dale.errors.InputError: math has no function 'squrt'; did you mean 'sqrt'?
    """
    place, _, name = target.rpartition(":")
    if not place or not name.isidentifier():
        raise error(
            f"{target!r} names no function; expected 'module:function' or "
            "'path/to/file.py:function'"
        )
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _named(place)
    except Exception as cause:
        raise error(f"cannot import {place!r}: {one_line(cause)}") from cause
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value)]
        hint = nearest(name, known) if known else "it defines none"
        raise error(f"{place} has no function {name!r}; {hint}")
    return function


def call(
    target: str,
    settings: Mapping[str, Any],
    offered: Mapping[str, Any] | None = None,
    error: type[InputError] = InputError,
) -> Any:
    """Call the function that `target` names.

    Args:
        target: As for `resolve`.
        settings: Keyword arguments the user gave; all are passed.
        offered: Values passed only where the signature names them and the user gave
            none.
        error: Class of what is raised.

    Returns:
        What the function returns.

    Raises:
        InputError: (or `error`) As `resolve`; a setting does not fit the signature; or
            the function raised, in which case its error is the cause.
        DaleError: The function raised one; it passes as it is.

    Example:
        >>> call("json:dumps", {"obj": [1, 2]}, {"shape": (1, 8, 8)})
        '[1, 2]'
        >>> call("json:dumps", {"skipkeys": True})
        Traceback (most recent call last):
        dale.errors.InputError: json:dumps takes other settings: missing a required
        argument: 'obj'
    """
    function = resolve(target, error)
    arguments = {**_named_by(function, offered or {}), **settings}
    _check(function, target, arguments, error)
    try:
        with _searching(_folder(target)):
            return function(**arguments)
    except DaleError:
        raise
    except Exception as cause:
        raise error(f"{target} failed: {one_line(cause)}") from cause


def one_line(cause: BaseException) -> str:
    r"""The class of an exception and the first line of its message.

    Example:
        >>> one_line(ValueError("first\nsecond"))
        'ValueError: first'
    """
    lines = str(cause).strip().splitlines()
    return (
        f"{type(cause).__name__}: {lines[0].rstrip()}"
        if lines
        else type(cause).__name__
    )


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return None


def _named_by(
    function: Callable[..., Any], offered: Mapping[str, Any]
) -> dict[str, Any]:
    signature = _signature(function)
    named = signature.parameters if signature else {}
    return {key: value for key, value in offered.items() if key in named}


def _check(
    function: Callable[..., Any],
    target: str,
    arguments: Mapping[str, Any],
    error: type[InputError],
) -> None:
    """Tell a setting that does not fit from an error inside the function."""
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(**arguments)
    except TypeError as cause:
        raise error(f"{target} takes other settings: {cause}") from cause


def _folder(target: str) -> Path:
    place = target.rpartition(":")[0]
    return Path(place).resolve().parent if place.endswith(".py") else Path.cwd()


def _named(name: str) -> ModuleType:
    with _searching(Path.cwd()):
        return import_module(name)


def _from_file(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise FileNotFoundError("no such file")
    mark = blake2b(os.fsencode(path), digest_size=6).hexdigest()
    spec = spec_from_file_location(f"_dale_{path.stem}_{mark}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # dataclasses and pickle look a class's module up by name
    sys.modules[spec.name] = module
    with _searching(path.parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _searching(folder: Path) -> Iterator[None]:
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have removed it
            sys.path.remove(entry)
