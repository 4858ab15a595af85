"""The shape of classes, measured on their syntax trees: who writes an attribute, who calls up, how deep they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Write(NamedTuple):
    """An attribute that a class writes through `self`, and another class defines."""

    attribute: str
    definer: str
    """The class whose `__init__` assigns the attribute first; "" when no class's does."""
    writer: str

    def __str__(self) -> str:
        return f"{self.attribute:24} {self.definer or '(nowhere)':32} {self.writer}"


class UpCall(NamedTuple):
    """A method or property that a class uses through `self`, and only a subclass gives a body to."""

    caller: str
    method: str

    def __str__(self) -> str:
        return f"{self.caller:32} {self.method}"


@dataclass
class ClassShape:
    """A class as its source says: its bases, the attributes that it writes, the members that it uses and defines."""

    name: str
    module: str
    base_names: list[str]
    defined: list[str] = field(default_factory=list)
    """Attributes that have a default in the class body, or that `__init__` assigns, in order."""
    written: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    """Attributes of a part that it writes past the part's methods, as "part.attribute"."""
    used: set[str] = field(default_factory=set)
    members: dict[str, bool] = field(default_factory=dict)
    """Names in the class body, and whether they do anything: a function without statements does nothing, and neither
    does one that raises NotImplementedError."""
    setters: set[str] = field(default_factory=set)
    bases: list[ClassShape] = field(default_factory=list)

    @property
    def ancestry(self) -> list[ClassShape]:
        """The class and its bases, nearest first, each once. Classes that are not ours are left out."""
        found = [self]
        for base in self.bases:
            found += [each for each in base.ancestry if each not in found]
        return found


def does_something(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function has a body: a docstring, `pass`, `...` and NotImplementedError are none."""
    for node in function.body:
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
            continue
        return True
    return False


def self_attributes(function: ast.AST) -> list[ast.Attribute]:
    """Return each `self.name` of a function, in the order of the source."""
    found = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    ]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def reached_attributes(function: ast.AST) -> Iterator[str]:
    """Yield "part.name" wherever a function assigns `self.part.name`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            name = ast.unparse(node)
            if name.startswith("self.") and name.count(".") > 1:
                yield name.removeprefix("self.")


def read_class(node: ast.ClassDef, name: str, module: str) -> ClassShape:
    """Return the shape of a class that stands in a module."""
    shape = ClassShape(name, module, [ast.unparse(base) for base in node.bases])
    for item in node.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            decorators = {ast.unparse(each) for each in item.decorator_list}
            if f"{item.name}.setter" in decorators:
                shape.setters.add(item.name)
            else:
                shape.members[item.name] = does_something(item)
            shape.reached |= set(reached_attributes(item))
            for attribute in self_attributes(item):
                if isinstance(attribute.ctx, ast.Load):
                    shape.used.add(attribute.attr)
                    continue
                shape.written.add(attribute.attr)
                if item.name == "__init__" and attribute.attr not in shape.defined:
                    shape.defined.append(attribute.attr)
        elif isinstance(item, ast.AnnAssign) and item.value is not None and isinstance(item.target, ast.Name):
            shape.defined.append(item.target.id)  # a default in the class body
        elif isinstance(item, ast.Assign):
            shape.members |= {target.id: True for target in item.targets if isinstance(target, ast.Name)}
    return shape


def classes_of(modules: Mapping[str, str]) -> list[ClassShape]:
    """Return all classes of `modules` (dotted name to source), with their bases found through the imports."""
    shapes: dict[str, ClassShape] = {}
    names: dict[str, dict[str, str]] = {}
    for module, source in modules.items():
        tree = ast.parse(source)
        names[module] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names[module] |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                names[module][node.name] = f"{module}.{node.name}"
                shapes[f"{module}.{node.name}"] = read_class(node, node.name, module)
    for shape in shapes.values():
        known = names[shape.module]
        shape.bases = [shapes[known[name]] for name in shape.base_names if known.get(name) in shapes]
    return list(shapes.values())


def definer_of(shape: ClassShape, attribute: str, classes: list[ClassShape]) -> ClassShape | None:
    """Return the class that defines an attribute of `shape`: its furthest base that does, or else a subclass."""
    for each in reversed(shape.ancestry):
        if attribute in each.defined:
            return each
    for each in classes:
        if shape in each.ancestry and attribute in each.defined:
            return each
    return None


def foreign_writes(shape: ClassShape, classes: list[ClassShape]) -> list[Write]:
    """Return the attributes that `shape` writes through `self`, and that another of `classes` defines."""
    setters = {name for each in shape.ancestry for name in each.setters}
    found = []
    for attribute in sorted(shape.written - setters):
        definer = definer_of(shape, attribute, classes)
        if definer is not shape:
            found.append(Write(attribute, definer.name if definer else "", shape.name))
    return found


def up_calls(shape: ClassShape, classes: list[ClassShape]) -> list[UpCall]:
    """Return what `shape` uses through `self` that has no body in it or above it, but has one in a subclass."""
    below = {
        name for each in classes if shape in each.ancestry[1:] for name, has_body in each.members.items() if has_body
    }
    found = []
    for name in sorted(shape.used & below):
        nearest = next((each.members[name] for each in shape.ancestry if name in each.members), False)
        if not nearest and not any(name in each.defined for each in shape.ancestry):
            found.append(UpCall(shape.name, name))
    return found


def sources(root: Path, package: str) -> dict[str, str]:
    """Return the modules below `root`, by the dotted names that they have in `package`."""
    return {
        ".".join([package, *path.relative_to(root).with_suffix("").parts]): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*.py"))
    }
