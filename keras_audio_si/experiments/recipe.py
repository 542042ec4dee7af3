"""Recipes: published experiments as settings, and tables of changes to them with the paper's values."""

import dataclasses

from keras_audio_si.checks import check_choice
from keras_audio_si.experiments.settings import Settings, part_of, refuse_building


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A published experiment on one data set.

    Args:
        name: Such as "fonseca2021".
        summary: One line: paper, networks, data set.
        settings: `Settings` that all rows start from.
        tables: Dict by the number of the paper's table: a dict by row of `(changes, paper value)`. The changes are flat
            settings; the value is a number, an `evaluation.report.Estimate` or None.
        layout: Layout of the data, as `data.datasets.read_dataset` calls it.
        quantity: Measured value that the paper has.
        quantities: Dict of those of other tables, by number of the table, where they have another.
        folds: Arguments of `divisions.divide`, for data that come in folds.
        default_table: Table that is run unless another is asked for; None for the first.
        needs_initial: Whether its rows start from a trained model, which has to be given as `initial`.

    Example:

    >>> rows = {"max": ({}, 0.457), "aps": ({"pooling": "aps"}, 0.480)}
    >>> recipe = Recipe("example", "An example.", Settings(), {"1": rows})
    >>> {name: row.model.pooling for name, row in recipe.rows(["1"], width=0.5)[0].items()}
    {'max': None, 'aps': 'aps'}
    """

    name: str
    summary: str
    settings: Settings
    tables: dict
    layout: str = "auto"
    quantity: str = "mAP"
    quantities: dict = dataclasses.field(default_factory=dict)
    folds: dict = dataclasses.field(default_factory=dict)
    default_table: str | None = None
    needs_initial: bool = False

    def rows(self, tables=None, names=None, **changes):
        """Returns the settings of rows, and what the paper has.

        Args:
            tables: Numbers of tables; None for the default one, or for all if rows are named.
            names: Names of rows; None for all.
            **changes: Flat settings that are changed in all rows.

        Returns:
            `(rows, paper)`: a dict of `Settings` and one of the paper's values, by row.

        Raises:
            ValueError: If a table or row is unknown, or a model setting is changed in which the rows differ.
        """
        chosen = {name: self.tables[table][name] for name, table in self.tables_of(tables, names).items()}
        if changes.get("initial"):
            refuse_building(changes)
        self._check(chosen, changes)
        rows = {name: self.settings.changed(**{**own, **changes}) for name, (own, _) in chosen.items()}
        return rows, {name: value for name, (_, value) in chosen.items() if value is not None}

    def tables_of(self, tables=None, names=None):
        """Returns the number of the table of each row: a dict, by row. Arguments and errors are those of `rows`.

        A row that is in several of the tables is that of the first.

        Example:

        >>> recipe = Recipe("example", "An example.", Settings(), {"1": {"max": ({}, 0.457)}, "2": {"aps": ({}, 0.48)}})
        >>> recipe.tables_of(), recipe.tables_of(names=["aps"])
        ({'max': '1'}, {'aps': '2'})
        """
        if not tables:
            tables = list(self.tables) if names else [self.default_table or next(iter(self.tables))]
        known = {}
        for table in tables:
            check_choice("table", table, self.tables)
            known |= {name: table for name in self.tables[table] if name not in known}
        for name in names or ():
            check_choice("row", name, known)
        return {name: known[name] for name in names or known}

    def quantity_of(self, tables):
        """Returns the measured value that the paper has in tables, by their numbers.

        Raises:
            ValueError: If it is not the same in all of them.
        """
        found = {table: self.quantities.get(table, self.quantity) for table in tables}
        if len(set(found.values())) > 1:
            raise ValueError(
                "`table` must be of one measured value, as a report compares one with the paper: choose tables or rows "
                f"of one. Received: {', '.join(f'table {table} with {value}' for table, value in found.items())}"
            )
        return next(iter(found.values()))

    def _check(self, chosen, changes):
        for name in changes:
            values = {repr(own.get(name)) for own, _ in chosen.values()}
            if part_of().get(name) in ("model", "stages") and len(values) > 1:
                raise ValueError(f"The rows differ in `{name}`: leave it out, or choose rows that have the same.")
