"""Who reads which setting: types of sections followed through the source, as far as annotations
tell.

A class is known by its name, since no two share one, and a part's `Settings` by its module:
`imgcls.models.cnn.Settings`. Types are sets of such names, without regard to the flow of control:
an expression has the types that it can have anywhere in its function.
"""

import ast
from dataclasses import dataclass, field
from typing import NamedTuple

PASSED_ON = {"enumerate", "list", "next", "reversed", "sorted", "track", "zip"}
"""Functions whose results are made of their arguments."""
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Read(NamedTuple):
    """An expression such as `settings.patience`."""

    section: str
    """The class that declares the field."""
    name: str
    module: str
    """Where it is read."""


@dataclass
class Declared:
    """A subclass of `Section`."""

    module: str
    bases: list[str]
    fields: dict[str, ast.expr]
    """The annotation of each field."""


@dataclass
class Source:
    """What is known of all modules together.

    Attributes:
        sections: by name.
        attributes: the types of attributes of other classes, by the attribute's name.
        results: the types that functions return, by the function's name.
    """

    trees: dict[str, ast.Module]
    sections: dict[str, Declared] = field(default_factory=dict)
    attributes: dict[str, set[str]] = field(default_factory=dict)
    results: dict[str, set[str]] = field(default_factory=dict)

    def owners(self, types: set[str], name: str) -> set[str]:
        """Return the sections that declare a field of one of the types: themselves, their bases,
        and their subclasses, whose own declaration takes the place of the base's.
        """
        return {
            key
            for key, declared in self.sections.items()
            if name in declared.fields
            and any(each in self.ancestors(key) or key in self.ancestors(each) for each in types)
        }

    def ancestors(self, key: str) -> list[str]:
        """Return a section and its bases that are sections."""
        bases = self.sections[key].bases
        return [key, *[each for base in bases for each in self.ancestors(base)]]

    def annotated(self, annotation: ast.AST | None, module: str) -> set[str]:
        """Return the sections that an annotation names."""
        names = set()
        for node in ast.walk(annotation) if annotation else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                quoted = _parse_quoted(node.value)
                names |= self.annotated(quoted, module) if quoted else set()
            elif isinstance(node, ast.Name | ast.Attribute):
                names.add(_qualify(node, module))
        return names & self.sections.keys()


def find_sections(texts: dict[str, str]) -> Source:
    """Parse modules and find the sections that they declare."""
    source = Source({module: ast.parse(text) for module, text in texts.items()})
    classes = {}
    for module, tree in source.trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                bases = [_qualify(base, module) for base in node.bases]
                classes[_qualify(node, module)] = Declared(module, bases, _list_fields(node))
    known = {"Section"}
    while len(known) > len(source.sections):
        source.sections = {key: classes[key] for key in known}
        known |= {key for key, each in classes.items() if known & set(each.bases)}
    for declared in source.sections.values():
        declared.bases = [base for base in declared.bases if base in source.sections]
    return source


def _list_fields(section: ast.ClassDef) -> dict[str, ast.expr]:
    return {
        node.target.id: node.annotation
        for node in section.body
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)
    }


def _qualify(node: ast.AST, module: str) -> str:
    name = getattr(node, "name", getattr(node, "id", getattr(node, "attr", "")))
    return f"{module}.Settings" if name == "Settings" else name


def _parse_quoted(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def list_reads(source: Source) -> set[Read]:
    """Return every read of a field of a section, but for those of the validators, which only check
    what was given.
    """
    reads: set[Read] = set()
    for _ in range(3):  # attributes and results are found on the way, and used by other modules
        for module, tree in source.trees.items():
            _Reader(source, module, reads).visit(tree)
    return reads


class _Reader(ast.NodeVisitor):
    """Collects the reads of one module, function by function."""

    def __init__(self, source: Source, module: str, reads: set[Read]):
        self.source, self.module, self.reads = source, module, reads
        self.names: dict[str, set[str]] = {}
        self.owner = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self.owner = self.owner, _qualify(node, self.module)
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and self.owner not in self.source.sections:
                types = self.source.annotated(each.annotation, self.module)
                self.source.attributes.setdefault(each.target.id, set()).update(types)
        self.generic_visit(node)
        self.owner = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        decorators = " ".join(ast.unparse(each) for each in node.decorator_list)
        if "validator" in decorators:
            return
        types = self.source.annotated(node.returns, self.module)
        known = self.source.attributes if "property" in decorators else self.source.results
        known.setdefault(node.name, set()).update(types)
        outer, self.names = self.names, dict(self.names)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in arguments:
            self.names[argument.arg] = self.source.annotated(argument.annotation, self.module)
        if self.owner in self.source.sections and arguments and arguments[0].arg == "self":
            self.names["self"] = {self.owner}
        for _ in range(2):  # a name may be used above where it gets its value, in a loop
            for each in node.body:
                self.visit(each)
        self.names = outer

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._bind(target, node.value)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._bind(node.target, node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, _COMPREHENSIONS):
            for each in node.generators:  # they stand last, and bind what the element reads
                self.visit(each)
        super().generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            for owner in self.source.owners(self._infer(node.value), node.attr):
                self.reads.add(Read(owner, node.attr, self.module))
        self.generic_visit(node)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.names.setdefault(target.id, set()).update(self._infer(value))
        elif isinstance(target, ast.Attribute):
            self.source.attributes.setdefault(target.attr, set()).update(self._infer(value))
        elif isinstance(target, ast.Tuple):
            paired = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
            values = value.elts if paired else [value] * len(target.elts)
            for each, given in zip(target.elts, values, strict=True):
                self._bind(each, given)

    def _infer(self, node: ast.expr) -> set[str]:
        """Return the sections that an expression can be."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, set())
        if isinstance(node, ast.Attribute):
            types = self._infer(node.value)
            owners = self.source.owners(types, node.attr)
            fields = [self.source.sections[owner] for owner in owners]
            known = set() if types else self.source.attributes.get(node.attr, set())
            return known.union(
                *[self.source.annotated(each.fields[node.attr], each.module) for each in fields]
            )
        if isinstance(node, ast.Call):
            name = _qualify(node.func, self.module)
            types = self.source.results.get(name, set())
            passed = node.args if name in PASSED_ON else []
            return types.union({name} & self.source.sections.keys(), *map(self._infer, passed))
        inside = node.elts if isinstance(node, ast.List | ast.Tuple) else _list_alternatives(node)
        return set().union(*map(self._infer, inside))


def _list_alternatives(node: ast.expr) -> list[ast.expr]:
    """Return the expressions whose types such as `a or b`, `a if x else b`, `a[0]` can have."""
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.Subscript | ast.Starred | ast.Await):
        return [node.value]
    return [node.elt] if isinstance(node, ast.ListComp | ast.GeneratorExp) else []
